// read_listing.h: one directory, read: opened, watched, looked at, listed, each child looked at. In
// this order: what changes after the watch is set raises an event, what changed before is seen by
// the listing.
//
// Thread: safe from any thread. Errors are in the listing; it never fails as a whole.
#pragma once

#include "engine/scan/scanner.h"

namespace repl::scan {

[[nodiscard]] Listing read_listing(const Job& job, const BeforeListing& before_listing);

}  // namespace repl::scan
