#include "tests/sim/cluster/world.h"

#include <sys/mount.h>
#include <xxhash.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace repl::sim {

namespace {
constexpr size_t lines_kept = 60;
constexpr int64_t wall_begin_s = 2'000'000'000;  // later than every ctime of the kernel's
const bool loud = std::getenv("REPL_SIM_LOG") != nullptr;
}  // namespace

class World::NodeLog final : public Log {
 public:
  NodeLog(World& world, std::string name) : world_(world), name_(std::move(name)) {}
  void write(LogLevel, std::string_view line) override {
    world_.lines_.push_back("      " + name_ + ": " + std::string(line));
    if (world_.lines_.size() > lines_kept) world_.lines_.pop_front();
    if (loud) fmt::print(stderr, "      {}: {}\n", name_, line);
  }
  [[nodiscard]] bool enabled(LogLevel level) const override { return level >= LogLevel::info; }

 private:
  World& world_;
  std::string name_;
};

World::World(uint64_t seed, WorldOptions options) : options_(options), chance_(seed) {
  surroundings() = {.wall_ns = wall_begin_s * 1'000'000'000, .random = std::mt19937_64(seed)};
  traffic_.chance = Chance(seed + 1);
  if (options_.mutant != Mutant::none) {
    traffic_.mutate = [this](const auto& from, const auto& to, Message& message) {
      mutate(from, to, message);
    };
  }
  std::string pattern = (std::filesystem::temp_directory_path() / "repl-sim.XXXXXX").string();
  base_ = ::mkdtemp(pattern.data());
  mounted_ = ::mount("repl-sim", base_.c_str(), "tmpfs", 0, "size=256m") == 0;
  std::vector<std::string> names;
  for (int i = 0; i < options_.nodes; ++i) names.emplace_back(1, static_cast<char>('a' + i));
  for (const std::string& name : names) {
    auto node = std::make_unique<Node>();
    node->name = name;
    node->number = nodes_.size();
    node->log = std::make_unique<NodeLog>(*this, name);
    node->options.name = "t";
    node->options.node = name;
    node->options.nodes = names;
    node->options.root = base_ + "/" + name + "/root";
    node->options.state_dir = base_ + "/" + name + "/state";
    node->options.io = io::BackendChoice::plain;
    node->options.scan_threads = 0;
    node->options.sync_on = run::SyncThread::Where::owner;
    node->options.watch_mode =
        seed % 2 == 0 || !mounted_ ? watch::Mode::inotify : watch::Mode::fanotify_directories;
    if (options_.mutant == Mutant::publish_without_swap)
      node->disk.mutant = DiskMutant::publish_without_swap;
    if (options_.mutant == Mutant::keep_nothing) node->disk.mutant = DiskMutant::keep_nothing;
    std::filesystem::create_directories(node->options.root);
    stamp_times(*node, "");
    nodes_.push_back(std::move(node));
  }
  for (auto& node : nodes_) start(*node);
}

World::~World() {
  for (auto& node : nodes_) {
    if (node->engine) stop(*node, true, "the end");
  }
  std::error_code ignored;
  if (mounted_) ::umount2(base_.c_str(), MNT_DETACH);
  std::filesystem::remove_all(base_, ignored);
}

void World::tell(const std::string& line) {
  lines_.push_back(fmt::format("{:5} {:7} ms  {}", steps_, clock_.ms, line));
  if (lines_.size() > lines_kept) lines_.pop_front();
  if (loud) fmt::print(stderr, "{}\n", lines_.back());
  line_digest_ = XXH3_64bits_withSeed(line.data(), line.size(), line_digest_ + steps_);
}

std::string World::trace() const {
  std::string text;
  for (const std::string& line : lines_) text += line + "\n";
  return text + story();
}

uint64_t World::digest() const {
  return line_digest_ ^ traffic_.digest ^ (traffic_.messages << 40);
}

World::Node& World::any_node() { return *nodes_[chance_.below(nodes_.size())]; }

void World::pass(int64_t ms) {
  clock_.ms += ms;
  traffic_.now_ms = clock_.ms;
  surroundings().wall_ns += ms * 1'000'000;
}

void World::start(Node& node) {
  run_on(&node.disk);
  auto opened = run::TreeEngine::open(node.options, clock_, *node.log);
  Status begun = opened ? (*opened)->start() : Status(fail(opened.error()));
  run_on(nullptr);
  if (begun) {
    node.engine = std::move(*opened);
    node.facts_known = false;
    tell(node.name + " is up");
    return;
  }
  tell(node.name + " does not start: " + std::to_string(static_cast<int>(begun.error().code)));
  if (loud) fmt::print(stderr, "{}\n", begun.error().message);
  run_on(&node.disk);
  if (opened) opened->reset();
  run_on(nullptr);
  stop(node, true, "it did not start");
}

// A crash ends with the disk as it was; a stop in order makes all durable.
void World::stop(Node& node, bool crash, const char* why) {
  tell(fmt::format("{} {}: {}", node.name, crash ? "crashes" : "stops", why));
  if (crash) {
    ++counts_.crashes;
    for (auto& [pair, joined] : wires_) {
      if (pair.first != node.number && pair.second != node.number) continue;
      for (auto& end : joined.ends) {
        if (end && end->peer() != node.name) end->mute();
      }
    }
    node.disk.dead = true;
  }
  run_on(&node.disk);
  if (node.engine && !crash) static_cast<void>(node.engine->finish());
  node.engine.reset();
  run_on(nullptr);
  for (auto& [pair, joined] : wires_) {
    if (pair.first == node.number || pair.second == node.number)
      cut(pair.first, pair.second, "its node is down");
  }
  node.disk.dead = false;
  node.disk.dies_at.reset();
  node.recovering = true;
  node.facts_known = false;
  node.switching = node.catching = node.asking = false;
  node.starts_ms = clock_.ms + static_cast<int64_t>(chance_.below(calm_ ? 20 : 400));
}

void World::turn(Node& node) {
  if (!node.engine) {
    if (clock_.ms >= node.starts_ms) start(node);
    return;
  }
  node.engine->request_facts([&node](run::TreeFacts facts) {
    node.facts = std::move(facts);
    node.facts_known = true;
  });
  run_on(&node.disk);
  const bool goes_on = node.engine->turn(Duration::zero());
  run_on(nullptr);
  if (node.disk.dead) {
    stop(node, true, "in the middle of its work");
  } else if (!goes_on) {
    stop(node, false, "it cannot go on");
  } else {
    check_facts(node);
  }
  look_at(node);
}

void World::connect(size_t a, size_t b) {
  Wire& joined = wire(a, b);
  if (joined.parted_until_ms > clock_.ms || !nodes_[a]->engine || !nodes_[b]->engine) return;
  if (joined.ends[0] && (joined.ends[0]->open() || joined.ends[1]->open())) return;
  Node& left = *nodes_[a];
  Node& right = *nodes_[b];
  joined.ends[0] = std::make_shared<SimLink>(traffic_, left.name, right.name);
  joined.ends[1] = std::make_shared<SimLink>(traffic_, right.name, left.name);
  SimLink::join(joined.ends[0], joined.ends[1]);
  left.engine->attach(joined.ends[0]);
  right.engine->attach(joined.ends[1]);
  tell(left.name + "-" + right.name + " connect");
}

// One side notices later: half-open until then.
void World::cut(size_t a, size_t b, const char* why) {
  Wire& joined = wire(a, b);
  if (!joined.ends[0] || (!joined.ends[0]->open() && !joined.ends[1]->open())) return;
  for (auto& end : joined.ends) end->end_in(static_cast<int64_t>(chance_.below(60)));
  tell(nodes_[a]->name + "-" + nodes_[b]->name + " cut: " + why);
}

bool World::step() {
  ++steps_;
  pass(static_cast<int64_t>(chance_.one_in(50) ? chance_.below(5'000) : chance_.below(12)));
  act();
  for (size_t rounds = 1 + chance_.below(4); rounds > 0 && failure_.empty(); --rounds)
    turn(any_node());
  return failure_.empty();
}

void World::act() {
  const size_t a = chance_.below(nodes_.size());
  const size_t b = (a + 1 + chance_.below(nodes_.size() - 1)) % nodes_.size();
  Node& node = *nodes_[a];
  const uint64_t what = chance_.below(200);
  if (what < 60) {
    if (node.facts_known && node.facts.current) write(node);
  } else if (what < 100) {
    connect(std::min(a, b), std::max(a, b));
  } else if (what < 103) {
    cut(a, b, "lost");
  } else if (what < 105) {
    wire(a, b).parted_until_ms = clock_.ms + static_cast<int64_t>(chance_.below(20'000));
    cut(a, b, "parted");
  } else if (what < 107) {
    if (node.engine) node.disk.dies_at = node.disk.changes + chance_.below(120);
  } else if (what == 107) {
    if (node.engine) stop(node, chance_.one_in(2), "by chance");
  } else if (what == 108) {
    if (node.engine && options_.disk_errors) {
      node.disk.fails_at = node.disk.changes + chance_.below(200);
      node.disk.fails_with = chance_.one_in(2) ? ENOSPC : EIO;
    }
  } else if (what == 109) {
    if (options_.drift) write(node);
  } else if (what < 116) {
    command(node);
  }
}

}  // namespace repl::sim
