#include "cli/control_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "cli/json.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

// Values of clients and daemon alike: deeper nesting than this is nobody's honest message, and a
// recursive destructor or printer must not be led into the stack's end.
constexpr int nesting_max = 32;

bool too_deep(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest > nesting_max;
}

Result<Json> parse_object(std::string_view line, size_t bytes_max, const char* what) {
  if (line.size() > bytes_max) {
    return fail(ErrorCode::limit, fmt::format("{} longer than {} bytes", what, bytes_max));
  }
  if (too_deep(line)) return fail(ErrorCode::invalid, fmt::format("{}: nested too deeply", what));
  Json value = parse_json(line);
  if (value.is_discarded() || !value.is_object()) {
    return fail(ErrorCode::invalid, fmt::format("{}: not a JSON object on one line", what));
  }
  return value;
}

}  // namespace

bool Request::flag(const std::string& name) const { return text(name) == "true"; }

uint64_t Request::number(const std::string& name, uint64_t otherwise) const {
  const std::string value = text(name);
  uint64_t parsed = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  const bool whole = error == std::errc() && end == value.data() + value.size();
  return whole && !value.empty() ? parsed : otherwise;
}

std::string Request::text(const std::string& name, const std::string& otherwise) const {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : found->second;
}

std::string encode(const Request& request) {
  return print_json(
      Json{{"command", request.command}, {"tree", request.tree}, {"options", request.options}});
}

std::string encode(const ReplyLine& reply) {
  const auto value_of = [](const std::string& json) {
    Json value = parse_json(json);
    return value.is_discarded() ? Json(json) : value;
  };
  if (const auto* progress = std::get_if<ReplyProgress>(&reply)) {
    return print_json(Json{{"progress", value_of(progress->json)}});
  }
  if (const auto* done = std::get_if<ReplyDone>(&reply)) {
    return print_json(Json{{"ok", true}, {"result", value_of(done->json)}});
  }
  const auto& failed = std::get<ReplyFailed>(reply);
  return print_json(Json{{"ok", false}, {"error", failed.error}, {"exit", failed.exit}});
}

Result<Request> decode_request(std::string_view line) {
  const Result<Json> value = parse_object(line, limits::control_request_bytes_max, "request");
  if (!value) return fail(value.error());
  Request request{.command = get_text(*value, "command"), .tree = get_text(*value, "tree")};
  if (request.command.empty()) return fail(ErrorCode::invalid, "request: \"command\" is missing");
  const auto options = value->find("options");
  if (options == value->end()) return request;
  if (!options->is_object()) return fail(ErrorCode::invalid, "request: \"options\" is no object");
  for (const auto& [key, option] : options->items()) {
    if (option.is_string()) {
      request.options[key] = option.get<std::string>();
    } else if (option.is_boolean() || option.is_number_integer()) {
      request.options[key] = option.dump();
    } else {
      return fail(ErrorCode::invalid, "request: an option must be text, a number, true or false");
    }
  }
  return request;
}

Result<ReplyLine> decode_reply(std::string_view line) {
  const Result<Json> value = parse_object(line, limits::control_reply_bytes_max, "reply");
  if (!value) return fail(value.error());
  if (const auto progress = value->find("progress"); progress != value->end()) {
    return ReplyProgress{print_json(*progress)};
  }
  const auto ok = value->find("ok");
  if (ok == value->end() || !ok->is_boolean()) {
    return fail(ErrorCode::invalid, "reply: neither \"progress\" nor \"ok\"");
  }
  if (ok->get<bool>()) {
    const auto result = value->find("result");
    return ReplyDone{result == value->end() ? "{}" : print_json(*result)};
  }
  const int exit = get_number<int>(*value, "exit");
  return ReplyFailed{get_text(*value, "error"), exit > 0 && exit < 256 ? exit : 1};
}

bool is_read_only(const Request& request) {
  static constexpr std::array<std::string_view, 5> names = {"status", "wait", "role", "diff",
                                                            "catchup_plan"};
  return std::find(names.begin(), names.end(), request.command) != names.end();
}

}  // namespace repl::cli
