#include "engine/change/observer.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>

#include "engine/model/hint_bits.h"
#include "tests/unit/index/index_fixture.h"

namespace repl::change {
namespace {

class ObserverTest : public IndexTest {
 protected:
  void SetUp() override {
    open();
    std::filesystem::create_directory(root());
    dirs_ = std::make_unique<io::DirCache>(
        Fd(::open(root().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)), *index_);
    observer_ = std::make_unique<Observer>(ObserverParts{
        .index = *index_, .dirs = *dirs_, .policy = policy_, .ids = ids_, .reserved_name = {}});
    static_cast<void>(observer_->look(root_key, 0, CutNumber{1}, Contents::read_small));
  }
  [[nodiscard]] std::string root() const { return temp_.path() + "/root"; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(root() + "/" + name) << text;
  }
  // As a scan sees it.
  Outcome scan(const Key& key) {
    const Result<io::Stat> stat = io::stat_at(dirs_->root(), key.name);
    return observer_->observe(key, dirs_->root(),
                              Seen{.stat = *stat, .xattrs = {}, .target = {}, .handle = {}}, 0,
                              true, CutNumber{2}, Contents::leave_unknown);
  }
  void set_seen(const Key& key, int64_t after_ctime_ns) {
    LocalStat local = index_->get(key)->local;
    local.seen_wall_ns =
        local.ctime.seconds * 1'000'000'000 + local.ctime.nanoseconds + after_ctime_ns;
    index_->put_local(key, local);
  }

  Policy policy_;
  IdAllocator ids_{1, 0, [](uint64_t) { return false; }};
  std::unique_ptr<io::DirCache> dirs_;
  std::unique_ptr<Observer> observer_;
};

// RACE: the owner and an attribute change between the stat and the read. The ctime that is recorded
// must be that of the attributes that are recorded, or the event that follows finds nothing new.
TEST_F(ObserverTest, AttributesAreThoseOfTheRecordedCtime) {
  const Key key = at(root_dir.value, "f");
  write("f", "one");
  const Result<io::Stat> stale = io::stat_at(dirs_->root(), "f");
  const std::string path = root() + "/f";
  ASSERT_EQ(::chown(path.c_str(), 1, 2), 0);
  ASSERT_EQ(::setxattr(path.c_str(), "user.k", "v", 1, 0), 0);
  Seen seen{.stat = *stale, .details = true, .xattrs = {}, .target = {}, .handle = {}};
  const Outcome outcome = observer_->observe(key, dirs_->root(), std::move(seen), hint_modified,
                                             false, CutNumber{1}, Contents::read_small);
  ASSERT_EQ(outcome.verdict, Verdict::changed);
  EXPECT_EQ(outcome.item.attr.uid, 1U);
  EXPECT_EQ(outcome.item.attr.gid, 2U);
  EXPECT_NE(outcome.item.attr.xattrs.find("user.k"), std::string::npos);
  EXPECT_EQ(observer_->look(key, hint_attributes, CutNumber{2}, Contents::read_small).verdict,
            Verdict::unchanged);
}

TEST_F(ObserverTest, AnEntryTooYoungToBeTrustedIsReadNotForgotten) {
  const Key key = at(root_dir.value, "f");
  write("f", "one");
  ASSERT_EQ(observer_->look(key, hint_modified, CutNumber{1}, Contents::read_small).verdict,
            Verdict::changed);
  const Digest digest = index_->get(key)->attr.content;
  set_seen(key, 1);
  ASSERT_TRUE(is_racy(index_->get(key)->local));
  EXPECT_EQ(scan(key).verdict, Verdict::unchanged);
  EXPECT_EQ(index_->get(key)->attr.content, digest)
      << "a scan must not make it unknown: it would be sent again";
}

TEST_F(ObserverTest, AChangeWithinTheTimestampIsSeenByTheNextScan) {
  const Key key = at(root_dir.value, "f");
  write("f", "one");
  ASSERT_EQ(observer_->look(key, hint_modified, CutNumber{1}, Contents::read_small).verdict,
            Verdict::changed);
  Entry entry = *index_->get(key);
  entry.attr.content = hash_bytes("two");  // as if it had been read before a write of the same tick
  index_->put(key, entry);
  set_seen(key, 1);
  EXPECT_EQ(scan(key).verdict, Verdict::changed);
  EXPECT_EQ(index_->get(key)->attr.content, hash_bytes("one"));
}

}  // namespace
}  // namespace repl::change
