// byte_stream.h: what a session speaks through: TLS over TCP, a pair of descriptors, an ssh child.
//
// Thread: the I/O thread. At most one read and one write at a time. After close() the handlers of
// what was under way are still called, with an error. A handler is never called from within the
// function that took it.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace repl::transport {

class ByteStream {
 public:
  using OnRead = std::function<void(std::error_code, size_t)>;
  using OnWrite = std::function<void(std::error_code)>;

  virtual ~ByteStream() = default;
  // Some bytes; an error (end of file too) is final.
  virtual void read(std::span<char> into, OnRead done) = 0;
  // All bytes. They stay valid until `done`.
  virtual void write(std::string_view bytes, OnWrite done) = 0;
  // What was written and has not left may be about so much, if the carrier lets us say: the less,
  // the sooner what is written next leaves.
  virtual void limit_unsent(size_t) {}
  // Nothing more will be written: the peer sees the end.
  virtual void end_writing() = 0;
  virtual void close() = 0;
  // Why it ended, for a person.
  [[nodiscard]] virtual std::string explain(const std::error_code& error) const = 0;
};

}  // namespace repl::transport
