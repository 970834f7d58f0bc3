// nfs_exports.h: is a tree written through the kernel's NFS server? It writes by handle, without a
// name in the dentry cache; only a filesystem mark sees all of that.
#pragma once

#include <string_view>

namespace repl::watch {

// `etab` is the text of /var/lib/nfs/etab, what exportfs(8) gave to the kernel: one
// "path<TAB>client(options)" a line, the path with \ooo for bytes that would not fit. True if an
// export is the root, above it or below it.
[[nodiscard]] bool is_exported(std::string_view etab, std::string_view root);

}  // namespace repl::watch
