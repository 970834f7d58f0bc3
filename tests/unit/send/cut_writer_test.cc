#include "engine/send/cut_writer.h"

#include "tests/unit/index/index_fixture.h"
#include "tests/unit/send/scripted_source.h"

namespace repl::send {
namespace {

class CutWriterTest : public IndexTest {
 protected:
  void put_name(const std::string& name, uint64_t link) {
    Entry entry = file_entry(1, 0, 0, 9);
    entry.attr.type = FileType::fifo;
    entry.attr.link = LinkId{link};
    entry.attr.link_names = 2;
    index_->put(at(root_dir.value, name), entry);
  }
  // Records and CutEnd::records of the last piece.
  uint64_t records_of_last_piece() const {
    uint64_t records = 0;
    for (const Message& message : sent_) {
      if (std::holds_alternative<CutBegin>(message)) records = 0;
      if (const auto* some = std::get_if<Records>(&message)) records += some->records.size();
    }
    return records;
  }
  uint64_t stated() const { return std::get<CutEnd>(sent_.back()).records; }

  NullLog log_;
  ScriptedSource source_;
  std::vector<Message> sent_;
};

// To the peer each piece of a first sync is a cut of its own.
TEST_F(CutWriterTest, EveryPieceCountsItsOwnRecordsAndLinksWithinItself) {
  put_name("one", 7);
  put_name("two", 7);
  CutWriter writer(
      CutWriter::Parts{.index = *index_,
                       .source = source_,
                       .callbacks = {},
                       .log = log_,
                       .emit = [this](Message m, Lane) { sent_.push_back(std::move(m)); },
                       .room = [](Lane) { return size_t{1} << 20; },
                       .drained = [] { return true; },
                       .ask = [](Message) {}});
  writer.begin(CutBegin{.cut = CutNumber{1}, .first_sync = true}, {}, false,
               CutWriter::Loose::never);
  writer.add(Candidate{.key = at(root_dir.value, "one")});
  writer.end(false, {}, false);
  EXPECT_EQ(stated(), records_of_last_piece());
  writer.reopen();
  writer.add(Candidate{.key = at(root_dir.value, "two")});
  writer.end(true, {}, false);
  EXPECT_EQ(stated(), records_of_last_piece());
  EXPECT_EQ(stated(), 2u) << "the first name is named again: the second is linked to it";
}

}  // namespace
}  // namespace repl::send
