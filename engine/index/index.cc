#include "engine/index/index.h"

#include <fmt/format.h>

#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/index/index_impl.h"
#include "engine/model/hash.h"

namespace repl {

namespace {

constexpr uint64_t header_magic = 0x315844494C504552;  // "REPLIDX1"
constexpr uint32_t format_version = 1;

}  // namespace

// --- header, opening ---

void Index::Impl::write_header() {
  std::string bytes;
  ByteWriter out(bytes);
  out.u64(header_magic);
  out.u32(format_version);
  out.u64(seed);
  out.u64(log_start.value);
  out.u64(latest_cut.value);
  out.u64(counts.entries);
  out.u64(counts.directories);
  out.u64(counts.bytes);
  out.u64(counts.tombstones);
  store->put(Table::header, {}, std::move(bytes));
}

Status Index::Impl::load() {
  const auto bytes = store->get(Table::header, {});
  if (Status read = store->env().fault(); !read) return read;
  if (!bytes) {
    // New, or some other LMDB file: nothing may be in it.
    std::vector<KeyValue> some;
    store->env().read_range({}, {}, 1, some);
    if (!some.empty()) return fail(store->env().damage("it has no header"));
    tree.create(root_dir);
    return {};
  }
  ByteReader in(*bytes);
  if (in.u64() != header_magic) return fail(store->env().damage("the header's magic is wrong"));
  if (const uint32_t version = in.u32(); in.ok() && version != format_version) {
    return fail(
        ErrorCode::unsupported,
        fmt::format("the index has format {}, this repl knows format {}: run the repl that "
                    "wrote it, or delete the index directory; the node then compares in full",
                    version, format_version),
        Remedy::hold);
  }
  const uint64_t stored_seed = in.u64();
  log_start.value = in.u64();
  latest_cut.value = in.u64();
  counts.entries = in.u64();
  counts.directories = in.u64();
  counts.bytes = in.u64();
  counts.tombstones = in.u64();
  if (!in.done()) return fail(store->env().damage("the header is short or long"));
  if (stored_seed != seed) {
    return fail(ErrorCode::invalid,
                "the index belongs to another tree (its seed differs): give this tree a state "
                "directory of its own, or delete the index directory if the tree was renamed",
                Remedy::hold);
  }
  if (tree.find(root_dir) == nullptr) return fail(store->env().damage("it has no root directory"));
  return {};
}

Index::Index(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Index::~Index() = default;

Result<std::unique_ptr<Index>> Index::open(const std::string& directory, uint64_t seed,
                                           const IndexOptions& options) {
  auto store = Store::open(directory, options.map_bytes);
  if (!store) return fail(store.error());
  auto impl = std::make_unique<Impl>(std::move(*store), seed, options);
  if (Status loaded = impl->load(); !loaded) return fail(loaded.error());
  return std::unique_ptr<Index>(new Index(std::move(impl)));
}

// --- reading ---

std::optional<Entry> Index::Impl::decode(const std::string& bytes) const {
  auto entry = decode_entry(bytes);
  if (!entry) store->env().set_fault("entry");
  return entry;
}

std::optional<Entry> Index::Impl::get(const Key& key) const {
  const auto bytes = store->get(Table::entries, key_bytes(key));
  return bytes ? decode(*bytes) : std::nullopt;
}

std::optional<Entry> Index::get(const Key& key) const { return impl_->get(key); }

bool Index::contains(const Key& key) const {
  return impl_->store->contains(Table::entries, key_bytes(key));
}

void Index::for_children(DirId dir,
                         const std::function<bool(std::string_view, const Entry&)>& each) const {
  if (!dir.is_set()) return;
  const std::string prefix = number_bytes(dir.value);
  for (auto at = impl_->store->range(Table::entries, prefix); at.valid(); at.next()) {
    const auto entry = impl_->decode(at.value());
    if (entry && !each(std::string_view(at.key()).substr(prefix.size()), *entry)) return;
  }
}

std::vector<std::pair<std::string, Entry>> Index::children_after(DirId dir, std::string_view after,
                                                                 size_t limit) const {
  std::vector<std::pair<std::string, Entry>> children;
  if (!dir.is_set()) return children;
  const std::string prefix = number_bytes(dir.value);
  std::string from = key_bytes(dir, after);
  from.push_back('\0');
  auto at = impl_->store->range(Table::entries, prefix, from);
  for (; at.valid() && children.size() < limit; at.next()) {
    if (auto entry = impl_->decode(at.value())) {
      children.emplace_back(at.key().substr(prefix.size()), std::move(*entry));
    }
  }
  return children;
}

std::optional<DirParents::Place> Index::place_of(DirId dir) const {
  const DirNode* node = impl_->tree.find(dir);
  if (node == nullptr || !node->parent.is_set()) return std::nullopt;
  const auto entry = get(Key{.dir = node->parent, .name = node->name});
  return Place{.parent = node->parent, .name = node->name, .inode = entry ? entry->local.inode : 0};
}

std::optional<DirSummary> Index::summary(DirId dir) const {
  impl_->tree.resolve();
  const DirNode* node = impl_->tree.find(dir);
  if (node == nullptr) return std::nullopt;
  return DirSummary{.place = {.dir = node->parent, .name = node->name},
                    .content = node->content,
                    .identity = node->identity,
                    .children = node->children,
                    .unknown = node->unknown};
}

std::optional<std::string> Index::path_of(const Key& key) const {
  if (key.is_root()) return std::string();
  std::vector<std::string> names{key.name};
  for (DirId at = key.dir; at != root_dir;) {
    const DirNode* node = impl_->tree.find(at);
    if (node == nullptr || names.size() > limits::index_depth_max) return std::nullopt;
    names.push_back(node->name);
    at = node->parent;
  }
  std::string path;
  for (; !names.empty(); names.pop_back()) {
    if (!path.empty()) path.push_back('/');
    path.append(names.back());
  }
  return path;
}

std::optional<Key> Index::key_of_path(std::string_view path) const {
  if (path.empty()) return root_key;
  Key key{.dir = root_dir, .name = {}};
  for (;;) {
    const size_t slash = path.find('/');
    key.name = path.substr(0, slash);
    const auto entry = get(key);
    if (!entry) return std::nullopt;
    if (slash == std::string_view::npos) return key;
    if (!entry->attr.dir.is_set()) return std::nullopt;
    key.dir = entry->attr.dir;
    path.remove_prefix(slash + 1);
  }
}

Fingerprint Index::root_content() const {
  if (const auto hash = content_hash(root_key)) return Fingerprint{*hash};
  return summary(root_dir).value_or(DirSummary{}).content;
}

Fingerprint Index::root_identity() const {
  if (const auto hash = identity_hash(root_key)) return Fingerprint{*hash};
  return summary(root_dir).value_or(DirSummary{}).identity;
}

IndexCounts Index::counts() const { return impl_->counts; }

std::optional<Bits128> Index::content_hash(const Key& key) const {
  const auto entry = get(key);
  if (!entry) return std::nullopt;
  const auto below = entry->attr.dir.is_set() ? summary(entry->attr.dir) : std::nullopt;
  return entry_content_hash(impl_->seed, key.name, entry->attr,
                            below.value_or(DirSummary{}).content);
}

std::optional<Bits128> Index::identity_hash(const Key& key) const {
  const auto entry = get(key);
  if (!entry) return std::nullopt;
  const auto below = entry->attr.dir.is_set() ? summary(entry->attr.dir) : std::nullopt;
  return entry_identity_hash(impl_->seed, key.name, entry->attr,
                             below.value_or(DirSummary{}).identity);
}

// --- meta ---

std::optional<std::string> Index::meta(std::string_view name) const {
  return impl_->store->get(Table::meta, name);
}

void Index::put_meta(std::string_view name, std::string_view value) {
  REPL_CHECK(!name.empty() && name.size() <= limits::index_meta_name_bytes_max);
  impl_->store->put(Table::meta, std::string(name), std::string(value));
}

void Index::remove_meta(std::string_view name) {
  if (meta(name)) impl_->store->erase(Table::meta, std::string(name));
}

void Index::for_meta(std::string_view prefix,
                     const std::function<void(std::string_view, std::string_view)>& each) const {
  for (auto at = impl_->store->range(Table::meta, prefix); at.valid(); at.next()) {
    each(at.key(), at.value());
  }
}

// --- durability ---

size_t Index::pending() const { return impl_->store->pending(); }

bool Index::commit_in_flight() const { return impl_->in_flight != nullptr; }

std::shared_ptr<Index::Batch> Index::in_flight() const { return impl_->in_flight; }

std::shared_ptr<Index::Batch> Index::freeze() {
  if (impl_->in_flight || !impl_->detached.empty() || impl_->store->active_empty()) return nullptr;
  impl_->tree.write();
  impl_->write_header();
  impl_->in_flight = std::make_shared<Batch>(Batch{.overlay = impl_->store->freeze()});
  impl_->tree.trim();
  return impl_->in_flight;
}

Status Index::commit(const std::shared_ptr<Batch>& batch) {
  return impl_->store->commit(*batch->overlay);
}

void Index::committed(const std::shared_ptr<Batch>& batch) {
  REPL_CHECK(batch != nullptr && batch == impl_->in_flight);
  impl_->in_flight.reset();
  impl_->store->committed();
}

Status Index::flush() {
  for (;;) {
    const std::shared_ptr<Batch> batch = impl_->in_flight ? impl_->in_flight : freeze();
    if (!batch) return {};
    if (Status done = commit(batch); !done) return done;
    committed(batch);
  }
}

Status Index::health() const { return impl_->store->env().fault(); }

}  // namespace repl
