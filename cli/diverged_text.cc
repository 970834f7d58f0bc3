#include "cli/diverged_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

#include "cli/json.h"
#include "cli/names.h"
#include "cli/status_view.h"
#include "engine/base/escape.h"

namespace repl::cli {

namespace {

namespace diverged = apply::diverged;
using diverged::Change;
using diverged::Comparison;
using diverged::Item;
using diverged::Now;
using diverged::View;

std::string when(int64_t unix_seconds, const char* separator, const char* zone) {
  const std::tm time = fmt::gmtime(static_cast<std::time_t>(unix_seconds));
  return fmt::format("{:%Y-%m-%d}{}{:%H:%M:%S}{}", time, separator, time, zone);
}

std::vector<std::string> damage_of(const DivergedArea& area, const View& store) {
  std::vector<std::string> damage;
  if (!store.manifest.about) damage.emplace_back("the manifest does not say what this store is of");
  if (store.manifest.damaged_frames > 0)
    damage.push_back(fmt::format("the manifest is damaged in {} places: some items are not listed",
                                 store.manifest.damaged_frames));
  for (const uint64_t number : store.missing)
    damage.push_back(fmt::format("the object of item {} is missing", number));
  for (const uint64_t number : store.unclaimed)
    damage.push_back("it is not known what this is of: " +
                     escape(kept_file(area, store.id, number)));
  return damage;
}

Json item_json(const DivergedArea& area, const View& store, const Item& item) {
  Json json = {{"id", store.id},
               {"item", item.number},
               {"path", shown_path(item)},
               {"change", change_name(item.change)}};
  if (item.attr) {
    json["type"] = type_name(item.attr->type);
    json["size"] = item.attr->size;
    json["mode"] = fmt::format("{:04o}", item.attr->mode);
    json["uid"] = item.attr->uid;
    json["gid"] = item.attr->gid;
    json["mtime"] = when(item.attr->mtime.seconds, "T", "Z");
  }
  if (item.has_object) json["kept"] = escape(kept_file(area, store.id, item.number));
  return json;
}

std::string item_line(const Item& item) {
  const bool is_file = item.attr && item.attr->type == FileType::regular;
  return fmt::format("  {:>5}  {:<9}  {:<9}  {:>10}  {}\n", item.number, change_name(item.change),
                     item.attr ? type_name(item.attr->type) : "",
                     is_file ? human_bytes(item.attr->size) : "", shown_path(item));
}

std::string joined(const std::vector<std::string_view>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string in_words(const Item& item, const Comparison& now) {
  if (now.now == Now::absent)
    return item.change == Change::deleted ? "deleted, and still gone" : "gone from the tree";
  if (item.change == Change::deleted)
    return fmt::format("deleted here, a {} now", type_name(now.stat.attr.type));
  if (now.now == Now::same) return "the same";
  std::string words = joined(now.what) + (now.what.size() == 1 ? " differs" : " differ");
  const bool both_files =
      item.attr && item.attr->type == FileType::regular && now.stat.attr.type == FileType::regular;
  if (both_files && now.what.front() == "content")
    words += fmt::format(" ({} kept, {} now)", human_bytes(item.attr->size),
                         human_bytes(now.stat.attr.size));
  if (item.attr && now.what.front() == "type")
    words = fmt::format("a {} kept, a {} now", type_name(item.attr->type),
                        type_name(now.stat.attr.type));
  return words;
}

std::string_view now_name(Now now) {
  switch (now) {
    case Now::absent:
      return "gone";
    case Now::same:
      return "same";
    case Now::differs:
      break;
  }
  return "differs";
}

}  // namespace

std::string_view change_name(Change change) {
  switch (change) {
    case Change::changed:
      return "changed";
    case Change::made:
      return "new";
    case Change::deleted:
      return "deleted";
    case Change::displaced:
      break;
  }
  return "displaced";
}

std::string_view outcome_name(diverged::Outcome outcome) {
  switch (outcome) {
    case diverged::Outcome::restored:
      return "restored";
    case diverged::Outcome::removed:
      return "removed";
    case diverged::Outcome::already:
      return "already";
    case diverged::Outcome::in_the_way:
      return "in_the_way";
    case diverged::Outcome::nothing_to_make:
      break;
  }
  return "nothing_to_make";
}

std::string shown_path(const Item& item) { return item.path.empty() ? "." : escape(item.path); }

std::string diverged_text(const DivergedArea& area, const View& store) {
  std::string out = store.id;
  if (const auto& about = store.manifest.about) {
    out += fmt::format("  replaced by {}'s versions, {} UTC: {}", escape(about->from_peer),
                       when(about->unix_seconds, " ", ""), escape(about->reason));
  }
  if (store.busy) out += "  (in use now)";
  if (!store.busy && !store.manifest.finished) out += "  (the catch-up did not end)";
  out += "\n";
  for (const Item& item : store.manifest.items) out += item_line(item);
  for (const std::string& what : damage_of(area, store)) out += "  damage: " + what + "\n";
  return out;
}

std::string diverged_json(const DivergedArea& area, const View& store) {
  Json json = {{"id", store.id}, {"finished", store.manifest.finished}, {"busy", store.busy}};
  if (const auto& about = store.manifest.about) {
    json["tree"] = about->tree;
    json["node"] = about->node;
    json["from"] = about->from_peer;
    json["reason"] = escape(about->reason);
    json["when"] = when(about->unix_seconds, "T", "Z");
    json["common_reign"] = to_hex(about->common_reign);
    json["common_cut"] = about->common_cut.value;
  }
  json["damage"] = damage_of(area, store);
  json["items"] = Json::array();
  for (const Item& item : store.manifest.items)
    json["items"].push_back(item_json(area, store, item));
  return print_json(json);
}

std::string diff_text(const DivergedArea& area, const View& store, const Item& item,
                      const Comparison& now) {
  std::string out = fmt::format("{}: {}\n", shown_path(item), in_words(item, now));
  if (item.has_object && now.now != Now::same)
    out += "    kept as " + escape(kept_file(area, store.id, item.number)) + "\n";
  return out;
}

std::string diff_json(const DivergedArea& area, const View& store, const Item& item,
                      const Comparison& now) {
  Json json = item_json(area, store, item);
  json["now"] = now_name(now.now);
  json["differs"] = now.what;
  if (now.now != Now::absent) {
    json["type_now"] = type_name(now.stat.attr.type);
    json["size_now"] = now.stat.attr.size;
  }
  return print_json(json);
}

}  // namespace repl::cli
