#include "engine/io/backend.h"

#include "engine/io/plain_backend.h"
#include "engine/io/uring_backend.h"

namespace repl::io {

std::unique_ptr<Backend> make_backend(BackendChoice choice) {
  if (choice == BackendChoice::automatic) {
    if (auto uring = UringBackend::make()) return std::move(*uring);
  }
  return std::make_unique<PlainBackend>();
}

std::string io_uring_refusal() {
  const auto uring = UringBackend::make();
  return uring ? std::string() : uring.error().message;
}

}  // namespace repl::io
