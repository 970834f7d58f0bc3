// limits.h: every limit of repl, with its unit, in one place. docs/ARCHITECTURE.md lists them;
// their relations are asserted below.
#pragma once

#include <cstddef>
#include <cstdint>

namespace repl::limits {

// Names and records.
inline constexpr size_t name_bytes_max = 255;             // NAME_MAX of every Linux filesystem
inline constexpr size_t symlink_target_bytes_max = 4095;  // PATH_MAX - 1, readlink(2)
inline constexpr size_t xattrs_bytes_max = 1 << 20;  // all attributes of one inode, names included
inline constexpr size_t directory_depth_max = 4096;  // levels below the root

// Content.
inline constexpr size_t block_bytes = 64 * 1024;  // unit of digests and of aligned deltas
inline constexpr size_t inline_bytes_max =
    256 * 1024;  // files up to this size travel inside their record
inline constexpr size_t data_chunk_bytes_max = 256 * 1024;  // one Data message of a streamed file
inline constexpr uint64_t rolling_bytes_max = 4ull << 30;   // larger files get no rolling search
inline constexpr size_t rolling_block_bytes_min = 4096;     // of a rolling signature
// Torn reads of a file in a row; then it is hot: sent as it was read, and counted. Of a small one,
// each is as many at once. Between them: torn_pause_ms, twice as long after each.
inline constexpr int stable_read_tries_max = 5;
inline constexpr int torn_pause_ms = 100;
inline constexpr size_t astray_keys_max = 4096;  // sent newer than their cut, or left out of it
inline constexpr size_t hot_keys_max = 4096;  // known to be hot; one more, and all have their tries

// Wire.
inline constexpr size_t frame_bytes_max = 4 << 20;
inline constexpr size_t records_per_message_max = 4096;
inline constexpr size_t message_bytes_target =
    512 * 1024;  // records are packed up to this before they leave
// Sent on one lane and not yet taken by the receiver's owner: what a receiver allows at first, and
// up to what it widens that for a sender that it keeps waiting. 1 Gbit/s over 200 ms has 25 MB on
// its way, and an eighth is withheld.
inline constexpr size_t credit_bytes_initial = 8 << 20;
inline constexpr size_t credit_bytes_max = 64 << 20;
// Waiting in one connection, per direction: prompt messages; and those of another lane, which are
// asked of their owner no sooner than they can leave.
inline constexpr size_t outbox_bytes_max = 32 << 20;
inline constexpr size_t lane_queue_bytes_max = 1 << 20;
// One write to the carrier: 10 ms of what it takes, within these bounds; and unsent in the kernel:
// 20 ms. What overtakes waits for both.
inline constexpr size_t write_bytes_min = 16 * 1024;
inline constexpr size_t write_bytes_initial = 64 * 1024;  // until the rate is known
inline constexpr size_t write_bytes_max = 256 * 1024;
inline constexpr size_t unsent_bytes_min = 32 * 1024;
inline constexpr size_t unsent_bytes_max = 256 * 1024;
inline constexpr size_t socket_buffer_bytes = 32 << 20;  // in flight, per direction; where allowed
// Windows of zstd, per connection and direction, on both sides: at first, and where the link is the
// limit. The decompressor takes that and 0.5 MiB, the compressor up to 17 MiB more.
inline constexpr int zstd_window_log_initial = 21;
inline constexpr int zstd_window_log_max = 26;
// Nothing but heartbeats left for so long: the memory of the stream is given back.
inline constexpr int zstd_rest_ms = 10'000;
inline constexpr int heartbeat_ms = 5'000;
inline constexpr int peer_silent_ms_max = 20'000;  // then the connection is taken for dead
inline constexpr int handshake_ms_max = 10'000;
inline constexpr int close_flush_ms_max = 1'000;  // a close waits this long for what is queued
inline constexpr int backoff_ms_min = 200;
inline constexpr int backoff_ms_max = 10'000;
// To a peer that answers, but whose tree is not open (held, its root away) or that refuses it.
inline constexpr int backoff_reached_ms_max = 2'000;
inline constexpr int connections_unauthenticated_max = 64;

// Change set, cuts.
inline constexpr size_t dirty_keys_max = 1'000'000;  // then it degrades to "rescan this subtree"
// Of a directory's keys, that a cut which cannot have all takes before those of a storm.
inline constexpr uint32_t lone_keys_max = 16;
inline constexpr int cut_looks_max = 64;  // at one key while a cut is made; then the next one looks
inline constexpr size_t cut_keys_max = 8'192;  // a cut closes at this many keys, and is not exact
// Small contents that a cut holds in memory; further ones are read when they are sent.
inline constexpr uint64_t cut_inline_bytes_max = 16 << 20;
// No cut is made while each peer has so many before it, or cut_inline_bytes_max; but for one in so
// long.
inline constexpr size_t cuts_ahead_max = 8;
inline constexpr int cut_hold_ms_max = 1'000;
inline constexpr int cut_close_wait_us = 300;  // a key modified but not yet closed waits this long
inline constexpr int drain_pause_us = 1'500;   // between drains under load

// A mass delete: more entries, and more per cent of what the tree had, less than so long before.
inline constexpr uint64_t max_delete_entries = 1'000;
inline constexpr uint64_t max_delete_percent = 50;
inline constexpr int delete_window_ms = 600'000;

// Scrub.
inline constexpr uint64_t scrub_step_bytes = 1 << 20;
inline constexpr uint64_t scrub_bytes_per_second = 20'000'000;  // unless it is configured
inline constexpr int64_t scrub_days_max = 3'650;

// Index.
inline constexpr size_t index_overlay_keys_max =
    200'000;  // uncommitted; then the engine waits for the commit
inline constexpr size_t index_map_bytes_min = 1ull << 30;  // LMDB map, grows by doubling
inline constexpr uint64_t tombstones_max = 1'000'000;      // then older peers are compared in full
inline constexpr size_t lineage_reigns_max = 256;
inline constexpr size_t index_depth_max = 65'536;  // deeper places are refused
// Contents that no key has yet, or no more, whose block tables and signatures are in memory.
inline constexpr size_t index_keyless_contents_max = 256;
inline constexpr size_t index_keyless_bytes_max = 64 << 20;
inline constexpr size_t index_handle_bytes_max = 255;  // longer handles are not found again
inline constexpr size_t index_meta_name_bytes_max = 255;

// Receiver.
inline constexpr size_t held_fds_max = 256;    // fsynced one by one; beyond it syncfs
inline constexpr size_t stages_open_max = 64;  // contents being received at a time
// Records of one cut, and contents for them: against a peer that never ends, not a budget. (A
// comparison of two trees that differ in everything is one cut.)
inline constexpr uint64_t cut_records_max = 16'000'000;
inline constexpr uint64_t content_bytes_max = 4ull << 40;  // one file; its block hashes take 1 GiB
// Hashes of blocks that are kept of staged contents, 1 GiB; beyond it a content is read again.
inline constexpr uint64_t staged_blocks_max = content_bytes_max / block_bytes;
inline constexpr size_t dir_fds_max = 512;  // cached directory descriptors per tree
// Second copies of large files that differences change, where there are no reflinks.
inline constexpr uint64_t second_copy_bytes_min = 8 << 20;  // smaller: a copy costs little
inline constexpr size_t second_copies_max = 64;
inline constexpr size_t second_copies_of_one_max = 2;  // one is used, one waits for its cut's sync
inline constexpr uint64_t second_copies_bytes_max = 256ull << 30;  // all together, on disk
inline constexpr uint64_t second_copies_share = 4;  // and a fourth of what is free without them
inline constexpr size_t second_copy_ranges_max = 65'536;  // where one differs from its file
// Appends to files of this size and more are written in place, where there are no reflinks.
inline constexpr uint64_t append_in_place_bytes_min = 1 << 20;

// Delta, sender.
inline constexpr size_t signature_bytes_max = 6 << 20;  // of a rolling signature; what 4 GiB need
inline constexpr uint64_t signature_content_bytes_min = 1 << 20;  // smaller: sent, or asked for
inline constexpr size_t signature_keys_max = 1024;         // edited files that wait for theirs
inline constexpr uint64_t signature_step_bytes = 1 << 20;  // read at once to make one
inline constexpr int signature_idle_ms = 2'000;            // of the tree, before one is made
inline constexpr size_t rolling_signatures_max = 4;        // asked for and held at once
inline constexpr size_t block_table_bytes_max = 64 << 20;  // of a peer's table: 256 GiB of content
inline constexpr size_t stream_step_bytes = 1 << 20;  // read at once while a large file is sent
inline constexpr uint64_t hole_step_bytes = 256ull << 20;  // of a hole, passed at once
// Block tables of contents that a new file may be a copy of; but for the first one's.
inline constexpr size_t copy_search_table_bytes_max = 64 << 20;
// Contents under way, and records that wait for them; beyond either a cut waits for its large
// contents.
inline constexpr size_t large_contents_max = 50'000;
inline constexpr size_t held_back_keys_max = 200'000;
inline constexpr uint64_t huge_bytes_min = 64ull << 20;  // such files are sent behind all others
inline constexpr size_t pump_bytes_max = 4 << 20;        // one pump() of a sender
inline constexpr size_t asks_in_flight_max = 4;          // messages of AskKeys, ListDirectories
inline constexpr size_t keys_per_ask_max = 1024;
inline constexpr size_t live_batches_max = 256;  // cuts waiting for one peer, in memory
inline constexpr uint64_t live_bytes_max = 64 << 20;
inline constexpr size_t early_keys_max = 64;      // of a cut that a first sync tells before its end
inline constexpr size_t piece_keys_max = 50'000;  // of a first sync, between two publishes
inline constexpr uint64_t piece_bytes_max = 256ull << 20;
inline constexpr int refusals_max = 3;  // of one key; then it counts as held
// Merged cuts that follow each other before the cuts of a tree that never rests are told one by
// one.
inline constexpr int catch_ups_max = 8;
// Differences that are listed one by one, with their paths; all are counted.
inline constexpr size_t diff_items_max = 10'000;
inline constexpr size_t diff_item_bytes_max = 16 << 20;
// What a peer lists for them, and its directories that wait: against a peer whose tree never ends.
inline constexpr uint64_t diff_entries_max = 100'000'000;
inline constexpr size_t diff_dirs_max = 4'000'000;
inline constexpr size_t plans_known_max = 16;    // of catch-ups, that may be agreed to
inline constexpr size_t diffs_waiting_max = 16;  // that were asked for, while one is made
// Paths that were changed on a replica while it had no primary, and are held alone.
inline constexpr size_t drift_alone_max = 10;
// Rounds of taking what is dirty, of a primary that gives way: a writer that never rests keeps
// nobody from it, and what it still changes is drift then.
inline constexpr int step_down_rounds_max = 8;
// Free space that a catch-up wants beside what it fetches: the index, and whatever else grows.
inline constexpr uint64_t catch_up_spare_bytes = 64 << 20;
// Objects that a catch-up puts into the diverged store before the engine looks around.
inline constexpr size_t keep_step_max = 2000;
// Listings that wait for a peer that asked for them, to know what differs.
inline constexpr size_t diff_answers_waiting_max = 100'000;
// Comparisons of two trees at one cut before their difference is a matter for people.
inline constexpr int compares_max = 3;

// Diverged store.
inline constexpr size_t diverged_record_bytes_max = 4 << 20;  // one record of a manifest

// Watch.
inline constexpr size_t watch_read_bytes = 256 * 1024;  // one read(2) of kernel events
inline constexpr size_t watch_known_handles_max =
    262'144;  // cached; beyond it the index answers again
inline constexpr size_t watch_foreign_handles_max =
    65'536;  // directories that are known not to be ours

// Input and output.
inline constexpr unsigned io_ring_depth = 64;  // operations in flight per io_uring

// Switchover.
inline constexpr int handover_retry_ms = 1'000;     // without an answer it is asked again
inline constexpr int handover_lag_ms_max = 10'000;  // of the successor, when it begins

// People.
inline constexpr size_t control_request_bytes_max = 64 * 1024;
inline constexpr size_t control_reply_bytes_max =
    4 << 20;  // unread by one client; then it is dropped
inline constexpr size_t control_clients_max = 32;
inline constexpr int control_request_ms_max = 5'000;  // for a request to arrive in full
inline constexpr int control_answer_ms_max = 10'000;  // for an answer that needs no work
// After the time limit of a switchover, for the daemon to say how it ended.
inline constexpr int switchover_answer_ms_max = 10'000;
// Where no daemon runs, a command waits so long for the peers that dial this node: they may have
// just begun the longest pause of theirs.
inline constexpr int own_daemon_contact_ms_max = 35'000;
static_assert(own_daemon_contact_ms_max > backoff_ms_max);
// A command that only looks at what is stored has the index for a moment.
inline constexpr int index_lock_ms_max = 1'000;
// A change of a role closes all connections, which are dialled again at once: a command that needs
// a peer asks again for so long.
inline constexpr int peer_returns_ms_max = 3'000;
inline constexpr int promote_answer_ms_max = 5'000;  // for the peers that a promotion asks anew
inline constexpr size_t difference_lines_max = 200;  // shown to a person; JSON has what there is
// The same line of the log, in so long; and how many lines are known for that.
inline constexpr uint64_t log_repeats_max = 3;
inline constexpr int log_repeat_ms = 60'000;
inline constexpr size_t log_lines_known_max = 256;
inline constexpr size_t holds_listed_max = 100;
inline constexpr size_t kept_by_repair_max = 10'000;  // objects in kept/; with more, drift is held
inline constexpr size_t filter_rules_max = 10'000;    // rules and include patterns of one tree
inline constexpr size_t filter_pattern_bytes_max = 4'096;
inline constexpr size_t config_bytes_max = 4 << 20;
// Programs that are run for events of a tree.
inline constexpr uint64_t hook_timeout_s = 60;  // unless hook_timeout says another, up to _max
inline constexpr uint64_t hook_timeout_s_max = 3'600;
inline constexpr int hook_grace_ms = 5'000;     // between asking one to end, and forcing it
inline constexpr size_t hook_waiting_max = 16;  // of one event; with one more the oldest goes
inline constexpr size_t hook_line_bytes_max =
    1024;                                         // of a line of its output; the rest is left out
inline constexpr size_t hook_lines_max = 200;     // of one run that go into the log
inline constexpr size_t hook_tail_lines_max = 5;  // its last words, kept for the failure
inline constexpr size_t hook_value_bytes_max = 4'096;  // of a REPL_ variable, before it is escaped
// Files and directories that somebody has in a guarded tree, named of each kind; and how often a
// guard is tried that could not be set.
inline constexpr size_t guard_holders_max = 20;
inline constexpr int guard_retry_ms = 2'000;
// What a former primary waits for its peers when it starts, unless on_alone_after says another.
inline constexpr uint64_t alone_after_s = 60;
inline constexpr uint64_t alone_after_s_max = 86'400;
inline constexpr size_t serve_request_bytes_max =
    60 * 1024;  // in hex it must fit one argument, execve(2)

static_assert(inline_bytes_max <= message_bytes_target,
              "one inline file must fit a packed message");
static_assert(message_bytes_target + inline_bytes_max + xattrs_bytes_max + 64 * 1024 <=
                  frame_bytes_max,
              "a packed message and one more record must fit a frame");
static_assert(data_chunk_bytes_max < frame_bytes_max);
static_assert(frame_bytes_max < credit_bytes_initial, "a whole frame must always be sendable");
static_assert(frame_bytes_max + credit_bytes_initial / 8 <= credit_bytes_initial,
              "credit that is withheld must not keep a frame from leaving");
static_assert(credit_bytes_max % credit_bytes_initial == 0);
static_assert(credit_bytes_max * 7 / 8 >= 25'000'000, "1 Gbit/s over 200 ms");
static_assert(socket_buffer_bytes >= 25'000'000, "1 Gbit/s over 200 ms");
static_assert(message_bytes_target < lane_queue_bytes_max);
static_assert(data_chunk_bytes_max <= write_bytes_max);
static_assert(zstd_window_log_initial < zstd_window_log_max);
static_assert(zstd_rest_ms >= 2 * heartbeat_ms, "seen at a heartbeat");
static_assert(directory_depth_max * (name_bytes_max + 1) + xattrs_bytes_max +
                      symlink_target_bytes_max + 64 * 1024 <=
                  diverged_record_bytes_max,
              "a path and all attributes must fit a record");
static_assert(block_bytes <= inline_bytes_max);
static_assert(inline_bytes_max % block_bytes == 0);
static_assert(hole_step_bytes % block_bytes == 0);
static_assert(block_bytes % rolling_block_bytes_min == 0, "blocks of signatures nest in blocks");
static_assert(heartbeat_ms * 3 < peer_silent_ms_max);

}  // namespace repl::limits
