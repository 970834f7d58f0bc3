// message.h: what two nodes say to each other about one tree. transport/codec maps it to protobuf
// (transport/wire.proto; docs/PROTOCOL.md); the state machines of send, apply and role know only
// this.
//
// Everything here arrived from a peer when it arrived: names, sizes and counts are validated by
// transport/codec (shape) and by the state machine (meaning), never asserted.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/ids.h"
#include "engine/model/entry.h"
#include "engine/model/key.h"
#include "engine/model/position.h"

namespace repl {

// --- contact
// -------------------------------------------------------------------------------------------------

// Bits of Hello::features.
inline constexpr uint64_t feature_roles = 1;  // catch_up; marked listings; hand-overs

// How much of a content is already staged on the speaker's side.
struct StageProgress {
  StageId stage;
  uint64_t bytes = 0;  // contiguous from the start
};

// Both sides say it first, at once, and again when something of it changed before they agreed.
struct Hello {
  uint32_t version = 0;  // of this protocol
  uint64_t features = 0;
  std::string node;
  std::string tree;
  Role role = Role::none;
  Position position;  // durable
  Epoch epoch_seen;
  Lineage lineage;
  bool synced = false;  // the start scan has ended
  Bits128 policy;       // hash of filter and attribute policy
  Fingerprint content;  // of the root
  Fingerprint identity;
  bool content_known = false;  // every digest under `content` is known
  bool tree_empty = false;
  // Its tree may not be what its position says (between the pieces of a first sync, keys that were
  // to be sent again, a crash in a publish): to be compared.
  bool incomplete = false;
  // A person wants it caught up: what it has that the primary never had is kept aside already.
  bool catch_up = false;
  // It has what the primary never had, and only a catch-up may begin: nothing is to be sent.
  bool drifted = false;
  std::vector<StageProgress> stages;
};

// --- comparison: the primary asks, the secondary answers
// ------------------------------------------------------

// What the secondary has for one key.
struct KeyInfo {
  std::string name;
  FileType type = FileType::none;  // none: nothing there
  Bits128 hash;                    // entry_content_hash
  Bits128 identity;                // entry_identity_hash
  Digest content;
  uint64_t size = 0;
  DirId dir;  // directories
  LinkId link;
};
// `diff`: asked only to know, by either side; the answers say so, too, and nothing is sent for it.
struct ListDirectories {
  std::vector<DirId> dirs;
  bool diff = false;
};
// All children of a directory; in several messages if large (`last` on the final one).
struct DirectoryListing {
  DirId dir;
  bool known = true;  // false: the secondary has no such directory
  bool last = true;
  std::vector<KeyInfo> children;
  bool diff = false;
};
struct AskKeys {
  std::vector<Key> keys;
  bool diff = false;
};
struct KeysAnswer {  // same order as asked; `name` is empty in each
  std::vector<Key> keys;
  std::vector<KeyInfo> infos;
  bool diff = false;
};
// The secondary takes the primary's ids for directories and link groups that are equal but for
// their ids.
struct AdoptIds {
  struct Item {
    Key key;  // named with ids that are already the primary's (parents first)
    DirId dir;
    LinkId link;
  };
  std::vector<Item> items;
};

// --- cuts
// ----------------------------------------------------------------------------------------------------

struct CutBegin {
  Epoch epoch;
  Reign reign;
  CutNumber cut;
  bool first_sync = false;  // the receiver may publish before the end (empty tree joining)
};

// Where the bytes of a regular file come from.
struct ContentNone {};  // metadata only: the receiver's content has attr.content already
struct ContentInline {
  std::string bytes;
};  // at most limits::inline_bytes_max
struct ContentStaged {
  StageId stage;
};  // built by Stage* messages, ended before the cut ends
struct ContentCopy {
  Key from;
};  // equal to what the receiver holds there before this cut
struct ContentLink {
  Key to;
};  // another name of the group, put earlier in this cut
using Content = std::variant<ContentNone, ContentInline, ContentStaged, ContentCopy, ContentLink>;

// The key shall be this. A directory whose id the receiver knows elsewhere is moved with all it
// holds; a ContentCopy whose source is removed in the same cut is a move. A key of another type is
// displaced.
struct Put {
  Key key;
  Attributes attr;
  Content content;
};
// The key shall not be. A directory goes with all it holds, except what the same cut moves out of
// it.
struct Remove {
  Key key;
  bool disown = false;  // leave it on disk, forget it: it is not ours (mirror without --delete)
};
using Record = std::variant<Put, Remove>;
// In order: a directory before its children; names of a link group together.
struct Records {
  std::vector<Record> records;
};

// A content is built front to back: offsets never go back, gaps are errors.
struct StageBegin {
  StageId stage;
  uint64_t size_hint = 0;  // for progress and for reserving space; not trusted
  Key base;                // whose content StageCopy reads; unset key: none
  Digest base_digest;
  uint64_t resume_at = 0;  // bytes that are staged already and stay
};
struct StageData {
  StageId stage;
  uint64_t offset = 0;
  std::string bytes;
};
struct StageHole {
  StageId stage;
  uint64_t offset = 0;
  uint64_t length = 0;
};
struct StageCopy {
  StageId stage;
  uint64_t offset = 0;
  uint64_t base_offset = 0;
  uint64_t length = 0;
};
// Size and digest of what was sent; a Put with ContentStaged takes both from here.
struct StageEnd {
  StageId stage;
  uint64_t size = 0;
  Digest digest;
};
// The source vanished or cannot be read: the key stays as it is on the receiver, this cut goes on
// without it.
struct StageAbort {
  StageId stage;
};

struct CutEnd {
  CutNumber cut;
  uint64_t records = 0;  // in the whole cut
  bool ordered = true;   // false: could not be exact
  bool last = true;     // false: the next CutBegin goes on with the same cut (first sync in pieces)
  Fingerprint content;  // the root's after this cut, if known
  bool content_known = false;
  // So many of this connection's Refused{hold=false} are settled: sent again, compared, or gone.
  uint64_t settled = 0;
  // Large contents of this cut or of earlier ones are still under way, and what may not be
  // published before them waits: more comes under this number, or under later ones.
  bool loose = false;
};

enum class AckLevel : uint8_t { received = 0, applied = 1, durable = 2 };
struct Ack {
  Reign reign;
  CutNumber cut;
  AckLevel level = AckLevel::received;
  Fingerprint
      content;  // with `applied`: the secondary's root, so that equality is proved with every cut
  bool content_known = false;
  uint64_t held_keys = 0;  // keys that differ because a person must decide
  // Ends of whole cuts of this connection that it covers: the same number may come twice (keys that
  // are sent again, a comparison).
  uint64_t ends = 0;
  Fingerprint identity;  // with `content`: directories and link groups are the primary's, too
};

// The receiver did not take this record; the rest of the cut it did. `hold`: the key stays as it is
// there until a person decides (drift, a refusal of its filesystem). Else what was sent cannot be
// used (base or digest differ, its directory is unknown): the primary sends the key again, whole.
struct Refused {
  CutNumber cut;
  Key key;
  bool hold = false;
  std::string reason;
};

// --- signatures, verification, end
// ---------------------------------------------------------------------------

enum class SignatureKind : uint8_t { blocks = 0, rolling = 1 };
struct SignatureRequest {
  Key key;
  Digest content;  // what the asker believes is there
  SignatureKind kind = SignatureKind::blocks;
};
struct Signature {
  Key key;
  Digest content;  // unset: not available, send the whole
  SignatureKind kind = SignatureKind::blocks;
  bool last = true;
  std::string bytes;
};

struct VerifyRequest {
  uint64_t id = 0;
  bool full = false;  // re-read all bytes first
  bool sha256 = false;
};
struct VerifyReply {
  uint64_t id = 0;
  Position position;
  Fingerprint content;
  bool synced = false;
  uint64_t entries = 0;
  uint64_t bytes_read = 0;
  std::vector<std::string> mismatches;  // paths whose bytes are not what the index says, bounded
  std::string sha256;                   // hex, over the tree in canonical order, if asked
  std::vector<std::string> held;        // paths not compared because they are held
};

// The secondary's state, whenever it changes: for the primary's status and `wait`.
struct PeerNotice {
  std::string hold;  // empty: none
  uint64_t held_keys = 0;
  std::string error;  // e.g. disk full; retried
};

struct Bye {
  std::string reason;
  bool retry = true;
};

// --- switchover (engine/role/handover.h): the primary asks, its successor answers
// ---------------------------------------------------------------------------------------------------

enum class HandoverKind : uint8_t {
  prepare = 0,   // primary: will you take over? `epoch` is its own
  ready = 1,     // successor: yes, durably
  declined = 2,  // successor: no; `reason`. The primary stays one
  drain = 3,     // primary: say when `cut` is durable
  drained = 4,   // successor: it is, with these fingerprints
  grant = 5,     // no longer the primary, durably: take over at `cut`, under `epoch`
  confirm = 6,   // successor: the tree has gone on since, in `reign` of `epoch`, from `cut` on
  refused = 7,   // successor: will never take over by this token, durably. `epoch`: highest seen
  unknown = 8,   // successor: cannot tell whether it ever took over; a person decides
  abort = 9,     // primary: it is off, no grant was or will be sent
};
// Repeated until answered, and answered each time.
struct Handover {
  HandoverKind kind = HandoverKind::prepare;
  Bits128 token;  // of one switchover, random
  Reign reign;    // the asking primary's; but for confirm
  Epoch epoch;
  CutNumber cut;
  Fingerprint content;  // at `cut`, of drained and grant; unset: not known
  Fingerprint identity;
  std::string reason;  // for a person
  bool operator==(const Handover&) const = default;
};

using Message =
    std::variant<Hello, ListDirectories, DirectoryListing, AskKeys, KeysAnswer, AdoptIds, CutBegin,
                 Records, StageBegin, StageData, StageHole, StageCopy, StageEnd, StageAbort, CutEnd,
                 Ack, Refused, SignatureRequest, Signature, VerifyRequest, VerifyReply, PeerNotice,
                 Bye, Handover>;

}  // namespace repl
