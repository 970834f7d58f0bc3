// The part of Receiver that answers the primary's comparisons from the index.
#include <algorithm>

#include "engine/apply/broken.h"
#include "engine/apply/compare.h"
#include "engine/apply/receiver.h"
#include "engine/base/bytes.h"
#include "engine/base/limits.h"

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

KeyInfo Receiver::info(const Key& key, const Entry& entry) const {
  KeyInfo info;
  info.type = entry.attr.type;
  info.hash = index_.content_hash(key).value_or(Bits128{});
  info.identity = index_.identity_hash(key).value_or(Bits128{});
  info.content = entry.attr.content;
  info.size = entry.attr.size;
  info.dir = entry.attr.dir;
  info.link = entry.attr.link;
  return info;
}

Status Receiver::on(const ListDirectories& list_request) {
  if (list_request.dirs.size() > limits::records_per_message_max)
    return broken("too many directories at once");
  for (const DirId dir : list_request.dirs) list(dir);
  return {};
}

void Receiver::list(DirId dir) {
  if (dir != root_dir && !index_.place_of(dir)) {
    actions_.send(DirectoryListing{.dir = dir, .known = false}, true);
    return;
  }
  std::string after;
  for (bool last = false; !last;) {
    const auto children = index_.children_after(dir, after, limits::records_per_message_max);
    last = children.size() < limits::records_per_message_max;
    DirectoryListing listing{.dir = dir, .last = last};
    for (const auto& [name, entry] : children) {
      listing.children.push_back(info(Key{.dir = dir, .name = name}, entry));
      listing.children.back().name = name;
      after = name;
    }
    actions_.send(std::move(listing), true);
  }
}

Status Receiver::on(const AskKeys& ask) {
  if (ask.keys.size() > limits::records_per_message_max) return broken("too many keys at once");
  KeysAnswer answer;
  answer.keys = ask.keys;
  for (const Key& key : ask.keys) {
    const std::optional<Entry> entry = index_.get(key);
    answer.infos.push_back(entry ? info(key, *entry) : KeyInfo{});
  }
  actions_.send(std::move(answer), true);
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
