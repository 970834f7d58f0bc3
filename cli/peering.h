// peering.h: keeps one connection to each peer of a tree: listens, dials, and dials again.
//
// Who dials whom, and how, is config.h's dials() and transport_between(). Over ssh the far side is
// `repl serve`, which reaches the daemon through the link socket (RUNTIME-DIR/TREE.link, mode
// 0600).
//
// Thread: construction and destruction from the owner; one thread per peer that is dialled.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/channel_link.h"
#include "cli/options.h"
#include "cli/tree_host.h"
#include "transport/identity.h"
#include "transport/io_thread.h"
#include "transport/listener.h"

namespace repl::cli {

[[nodiscard]] std::string link_socket_path(const std::string& runtime_dir, const std::string& tree);

class Peering {
 public:
  // `identity` may be null when every peer is reached over ssh.
  [[nodiscard]] static Result<std::unique_ptr<Peering>> start(const RunOptions& options,
                                                              const TreeConfig& tree,
                                                              const transport::Identity* identity,
                                                              TreeHost& host, const Clock& clock,
                                                              Log& log);
  ~Peering();
  Peering(const Peering&) = delete;
  Peering& operator=(const Peering&) = delete;

 private:
  Peering(const RunOptions& options, const TreeConfig& tree, const transport::Identity* identity,
          TreeHost& host, const Clock& clock, Log& log);
  Status listen_tls();
  Status listen_link();
  void accept_links();
  void dial_for_ever(const std::string& node);
  [[nodiscard]] Result<std::shared_ptr<transport::Channel>> dial(const std::string& node);
  [[nodiscard]] Result<std::shared_ptr<transport::Channel>> dial_tls(
      const std::string& node, const std::string& fingerprint);
  [[nodiscard]] transport::SessionOptions session_options(const std::string& node) const;
  [[nodiscard]] uint64_t link_bandwidth() const;
  bool pause(Duration time);

  const RunOptions& options_;
  TreeConfig tree_;
  const transport::Identity* identity_;
  TreeHost& host_;
  const Clock& clock_;
  Log& log_;
  transport::IoThread io_;
  std::unique_ptr<transport::Listener> listener_;
  Fd link_socket_;
  Fd stop_event_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::map<std::string, std::shared_ptr<ChannelLink>> dialled_;  // by node
  std::vector<std::thread> threads_;
};

}  // namespace repl::cli
