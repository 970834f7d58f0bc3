// The part of Receiver that answers the primary's comparisons from the index.
#include <utility>

#include "engine/apply/broken.h"
#include "engine/apply/compare.h"
#include "engine/apply/receiver.h"
#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/index/listing.h"

namespace repl::apply {

namespace {

std::string encode_blocks(const std::vector<Digest>& blocks) {
  std::string bytes;
  bytes.reserve(blocks.size() * 16);
  ByteWriter out(bytes);
  for (const Digest& block : blocks) out.bits(block);
  return bytes;
}

}  // namespace

Status Receiver::on(const ListDirectories& list) {
  if (list.dirs.size() > limits::records_per_message_max)
    return broken("too many directories at once");
  for (const DirId dir : list.dirs) {
    list_directory(index_, dir,
                   [&](DirectoryListing part) { actions_.send(std::move(part), true); });
  }
  return {};
}

Status Receiver::on(const AskKeys& ask) {
  if (ask.keys.size() > limits::records_per_message_max) return broken("too many keys at once");
  actions_.send(keys_answer(index_, ask), true);
  return {};
}

// Parents come first, so that each key is named with ids that are the primary's already.
Status Receiver::on(const AdoptIds& adopt) {
  if (applier_.in_cut()) return broken("ids to adopt within a cut");
  if (adopt.items.size() > limits::records_per_message_max) return broken("too many ids at once");
  for (const AdoptIds::Item& item : adopt.items) {
    const std::optional<Entry> entry = index_.get(item.key);
    if (!entry) continue;  // removed meanwhile
    const bool other_dir = item.dir.is_set() && entry->attr.type == FileType::directory &&
                           !item.key.is_root() && item.dir != entry->attr.dir;
    if (other_dir) {
      if (item.dir.value >= reserved_dir_ids_first) return broken("an illegal directory id");
      const bool exchanged = index_.summary(item.dir).has_value();
      if (!index_.adopt_dir_id(entry->attr.dir, item.dir))
        return broken("a directory id that cannot be");
      applier_.dirs().forget(entry->attr.dir);
      applier_.dirs().forget(item.dir);
      applier_.holds().renumber([&, from = entry->attr.dir](DirId id) {
        if (id == from) return item.dir;
        return id == item.dir && exchanged ? from : id;
      });
    }
    if (entry->attr.type != FileType::directory && item.link != entry->attr.link) {
      index_.set_link(item.key, item.link, entry->attr.link_names);
    }
  }
  return {};
}

Status Receiver::on(const SignatureRequest& request) {
  const Result<std::string> bytes = signature_bytes(request);
  const bool available = bytes.has_value();
  if (!available && bytes.error().remedy == Remedy::retry) return fail(bytes.error());
  const std::string_view all = available ? std::string_view(*bytes) : std::string_view();
  size_t at = 0;
  do {
    const std::string_view part = all.substr(at, limits::message_bytes_target);
    at += part.size();
    Signature signature{.key = request.key,
                        .kind = request.kind,
                        .last = at == all.size(),
                        .bytes = std::string(part)};
    if (available) signature.content = request.content;
    actions_.send(std::move(signature), true);
  } while (at < all.size());
  return {};
}

// Any error means: not available, send the whole.
Result<std::string> Receiver::signature_bytes(const SignatureRequest& request) {
  const std::optional<Entry> entry = index_.get(request.key);
  if (!entry || entry->attr.type != FileType::regular || !request.content.is_set() ||
      entry->attr.content != request.content) {
    return fail(ErrorCode::changed, "another content is here");
  }
  if (request.kind == SignatureKind::blocks) {
    const uint64_t blocks = entry->attr.size / limits::block_bytes;
    if (blocks > limits::block_table_bytes_max / sizeof(Digest))
      return fail(ErrorCode::limit, "its table is longer than one that may be asked for");
    if (const auto table = index_.block_table(request.content)) return encode_blocks(*table);
  }
  const Result<int> dir = applier_.dirs().open(request.key.dir);
  if (!dir) return fail(dir.error());
  const Result<Fd> file = io::open_read(*dir, request.key.name);
  if (!file) return fail(file.error());
  if (request.kind == SignatureKind::rolling) {
    return actions_.rolling_signature(file->get(), entry->attr.size);
  }
  const Result<FileDigest> digest = digest_file(file->get());
  if (!digest) return fail(digest.error());
  if (digest->digest != request.content)
    return fail(ErrorCode::changed, "the content was changed here");
  return encode_blocks(digest->blocks);
}

}  // namespace repl::apply
