// diverged_text.h: what diverged, for people and for scripts. JSON keys are only added; every name
// of a file passes through escape().
//
// Thread: stateless.
#pragma once

#include <string>
#include <string_view>

#include "cli/diverged_area.h"
#include "engine/apply/diverged_compare.h"
#include "engine/apply/diverged_restore.h"

namespace repl::cli {

// "changed", "new", "deleted", "displaced".
[[nodiscard]] std::string_view change_name(apply::diverged::Change change);
[[nodiscard]] std::string_view outcome_name(apply::diverged::Outcome outcome);
// "." for the root.
[[nodiscard]] std::string shown_path(const apply::diverged::Item& item);

// A store with its items: several lines; one JSON object without the newline.
[[nodiscard]] std::string diverged_text(const DivergedArea& area,
                                        const apply::diverged::View& store);
[[nodiscard]] std::string diverged_json(const DivergedArea& area,
                                        const apply::diverged::View& store);

// How one kept version differs from what is in the tree now.
[[nodiscard]] std::string diff_text(const DivergedArea& area, const apply::diverged::View& store,
                                    const apply::diverged::Item& item,
                                    const apply::diverged::Comparison& now);
[[nodiscard]] std::string diff_json(const DivergedArea& area, const apply::diverged::View& store,
                                    const apply::diverged::Item& item,
                                    const apply::diverged::Comparison& now);

}  // namespace repl::cli
