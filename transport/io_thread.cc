#include "transport/io_thread.h"

#include <pthread.h>

#include <asio/executor_work_guard.hpp>
#include <csignal>

#include "transport/io_core.h"

namespace repl::transport {

namespace {

void run_loop(IoCore& core) {
  pthread_setname_np(pthread_self(), "repl-net");
  auto busy = asio::make_work_guard(core.context());
  core.context().run();
}

}  // namespace

IoThread::IoThread() : core_(std::make_shared<IoCore>()) {
  // The thread inherits the mask, so that no signal can reach it before it has set its own.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([core = core_] { run_loop(*core); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

IoThread::~IoThread() {
  core_->abort_all();
  // After the aborts have run, nothing but their completions is left; stop() is posted behind them.
  core_->post([core = core_.get()] { core->context().stop(); });
  thread_.join();
  core_->end();
}

}  // namespace repl::transport
