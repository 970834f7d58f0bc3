#include "transport/fd_stream.h"

#include <sys/socket.h>

#include <asio/buffer.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/write.hpp>

#include "transport/io_core.h"
#include "transport/io_thread.h"
#include "transport/session.h"

namespace repl::transport {

namespace {

class FdStream final : public ByteStream {
 public:
  explicit FdStream(const std::shared_ptr<IoCore>& core)
      : core_(core), in_(core->context()), out_(core->context()) {}

  Status assign(Fd in, Fd out) {
    std::error_code error;
    in_.assign(in.get(), error);
    if (!error) (void)in.release();
    if (!error) out_.assign(out.get(), error);
    if (!error) (void)out.release();
    if (!error) in_.non_blocking(true, error);
    if (!error) out_.non_blocking(true, error);
    if (error) return fail(sys_error("prepare the descriptors of a connection", error.value()));
    return {};
  }

  void read(std::span<char> into, OnRead done) override {
    in_.async_read_some(asio::buffer(into.data(), into.size()), std::move(done));
  }
  void write(std::string_view bytes, OnWrite done) override {
    asio::async_write(out_, asio::buffer(bytes.data(), bytes.size()),
                      [done = std::move(done)](std::error_code error, size_t) { done(error); });
  }
  void end_writing() override {
    if (!out_.is_open()) return;
    std::error_code ignored;
    ::shutdown(out_.native_handle(),
               SHUT_WR);  // a socket that has a duplicate; ENOTSOCK for a pipe
    out_.close(ignored);
  }
  void close() override {
    std::error_code ignored;
    in_.close(ignored);
    out_.close(ignored);
  }
  [[nodiscard]] std::string explain(const std::error_code& error) const override {
    return error == asio::error::eof ? "the other side closed the connection" : error.message();
  }

 private:
  std::shared_ptr<IoCore> core_;
  asio::posix::stream_descriptor in_;
  asio::posix::stream_descriptor out_;
};

}  // namespace

Result<std::unique_ptr<ByteStream>> make_fd_stream(const std::shared_ptr<IoCore>& core, Fd in,
                                                   Fd out) {
  auto stream = std::make_unique<FdStream>(core);
  if (auto status = stream->assign(std::move(in), std::move(out)); !status) {
    return fail(std::move(status.error()));
  }
  return stream;
}

Result<std::shared_ptr<Channel>> make_stdio_channel(IoThread& io, Fd in, Fd out,
                                                    const SessionOptions& options) {
  auto stream = make_fd_stream(io.core(), std::move(in), std::move(out));
  if (!stream) return fail(std::move(stream.error()));
  return make_session(io, std::move(*stream), options);
}

}  // namespace repl::transport
