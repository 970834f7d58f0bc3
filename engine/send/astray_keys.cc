#include "engine/send/astray_keys.h"

#include <algorithm>
#include <variant>

#include "engine/base/limits.h"

namespace repl::send {

namespace {

// Metadata alone leave the content as the peer has it.
bool brings_content(const Put& put) {
  return put.attr.type != FileType::regular || !std::holds_alternative<ContentNone>(put.content);
}

}  // namespace

void AstrayKeys::add(const Key& key) {
  if (now_.size() + until_.size() < limits::astray_keys_max)
    now_.insert(key);
  else
    all_now_ = true;
}

void AstrayKeys::add_more_than(const Key& key) {
  add(key);
  all_now_ = true;
}

void AstrayKeys::told(const Record& record) {
  if (until_.empty()) return;
  const auto* put = std::get_if<Put>(&record);
  if (const auto* link = put != nullptr ? std::get_if<ContentLink>(&put->content) : nullptr) {
    all_now_ = all_now_ || until_.contains(link->to);
    return;
  }
  if (put != nullptr && !brings_content(*put)) return;
  until_.erase(put != nullptr ? put->key : std::get<Remove>(record).key);
}

void AstrayKeys::settle(CutNumber newest) {
  for (const Key& key : now_) until_[key] = newest;
  now_.clear();
  if (all_now_) all_until_ = std::max(all_until_, newest);
  all_now_ = false;
}

bool AstrayKeys::any(CutNumber at) const {
  return at <= all_until_ ||
         std::ranges::any_of(until_, [&](const auto& astray) { return at <= astray.second; });
}

}  // namespace repl::send
