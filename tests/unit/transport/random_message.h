// random_message.h: legal messages of every kind, for round trips and seeds of fuzzing.
#pragma once

#include <random>

#include "engine/base/bytes.h"
#include "engine/model/message.h"

namespace repl::transport {

class MessageMaker {
 public:
  explicit MessageMaker(std::mt19937_64& rng) : rng_(rng) {}

  uint64_t number() { return rng_() >> (rng_() % 64); }
  bool coin() { return (rng_() & 1) != 0; }
  std::string bytes(size_t size_max) {
    std::string out(rng_() % (size_max + 1), '\0');
    for (char& c : out) c = static_cast<char>(rng_());
    return out;
  }
  std::string name() {
    std::string out = "n" + bytes(20);
    for (char& c : out) c = c == '/' || c == '\0' ? '_' : c;
    return out;
  }
  template <typename T>
  T bits() {
    T out;
    out.high = rng_();
    out.low = rng_() | 1;
    return out;
  }
  Key key() { return {DirId{number() | 2}, name()}; }
  Position position() { return {Epoch{number()}, bits<Reign>(), CutNumber{number()}}; }
  Attributes attributes() {
    Attributes a;
    a.type = static_cast<FileType>(1 + rng_() % 7);
    a.mode = rng_() & 07777;
    a.uid = static_cast<uint32_t>(number());
    a.gid = static_cast<uint32_t>(number());
    a.mtime = {static_cast<int64_t>(number()) - 1000,
               static_cast<uint32_t>(rng_() % 1'000'000'000)};
    a.link_names = 1 + rng_() % 3;
    if (coin()) a.owner = "root";
    if (a.type == FileType::regular) {
      a.size = number() >> 1;
      a.content = bits<Digest>();
    }
    if (a.type == FileType::directory) {
      a.dir = DirId{number() | 2};
      a.transit = coin();
    }
    if (a.type == FileType::symlink) a.target = name();
    if (a.type == FileType::char_device || a.type == FileType::block_device) a.rdev = number();
    if (coin()) {
      ByteWriter writer(a.xattrs);
      writer.string("user.a");
      writer.string(bytes(50));
      writer.string("user.b");
      writer.string("");
    }
    return a;
  }
  KeyInfo info(bool named) {
    KeyInfo i;
    if (named) i.name = name();
    i.type = coin() ? FileType::directory : FileType::regular;
    if (i.type == FileType::directory) i.dir = DirId{number() | 2};
    i.hash = bits<Bits128>();
    i.identity = bits<Bits128>();
    if (coin()) i.content = bits<Digest>();
    i.size = number() >> 1;
    return i;
  }
  Record record() {
    if (rng_() % 4 == 0) return Remove{key(), coin()};
    Put put{key(), attributes(), ContentNone{}};
    if (put.attr.type == FileType::regular) {
      switch (rng_() % 5) {
        case 0:
          put.content = ContentInline{bytes(600)};
          break;
        case 1:
          put.content = ContentStaged{bits<StageId>()};
          break;
        case 2:
          put.content = ContentCopy{key()};
          break;
        case 3:
          put.content = ContentLink{key()};
          break;
        default:
          break;
      }
    }
    return put;
  }
  Message make(size_t kind);

 private:
  template <typename F>
  void times(F f) {
    for (uint64_t n = rng_() % 8; n != 0; --n) f();
  }
  std::mt19937_64& rng_;
};

inline Message MessageMaker::make(size_t kind) {
  switch (kind) {
    case 0: {
      Hello h;
      h.version = 1;
      h.features = number();
      h.node = name();
      h.tree = name();
      h.role = static_cast<Role>(rng_() % 3);
      h.position = position();
      h.epoch_seen = Epoch{number()};
      times([&] { h.lineage.push_back({bits<Reign>(), Epoch{number()}, CutNumber{number()}}); });
      h.policy = bits<Bits128>();
      h.content = bits<Fingerprint>();
      h.identity = bits<Fingerprint>();
      h.synced = coin();
      h.content_known = coin();
      h.tree_empty = coin();
      h.incomplete = coin();
      h.catch_up = coin();
      h.drifted = coin();
      times([&] { h.stages.push_back({bits<StageId>(), number() >> 1}); });
      return h;
    }
    case 1: {
      ListDirectories m;
      times([&] { m.dirs.push_back(DirId{number() | 1}); });
      m.diff = coin();
      return m;
    }
    case 2: {
      DirectoryListing m{DirId{number() | 1}, coin(), coin(), {}, coin()};
      times([&] { m.children.push_back(info(true)); });
      return m;
    }
    case 3: {
      AskKeys m;
      times([&] { m.keys.push_back(coin() ? key() : root_key); });
      m.diff = coin();
      return m;
    }
    case 4: {
      KeysAnswer m;
      m.diff = coin();
      times([&] {
        m.keys.push_back(key());
        m.infos.push_back(info(false));
      });
      return m;
    }
    case 5: {
      AdoptIds m;
      times([&] { m.items.push_back({key(), DirId{number()}, LinkId{number()}}); });
      return m;
    }
    case 6:
      return CutBegin{Epoch{number()}, bits<Reign>(), CutNumber{number()}, coin()};
    case 7: {
      Records m;
      times([&] { m.records.push_back(record()); });
      return m;
    }
    case 8:
      return StageBegin{bits<StageId>(), number() >> 1, coin() ? key() : root_key, bits<Digest>(),
                        number() >> 1};
    case 9:
      return StageData{bits<StageId>(), number() >> 2, "x" + bytes(3000)};
    case 10:
      return StageHole{bits<StageId>(), number() >> 2, (number() >> 2) | 1};
    case 11:
      return StageCopy{bits<StageId>(), number() >> 2, number() >> 2, (number() >> 2) | 1};
    case 12:
      return StageEnd{bits<StageId>(), number() >> 1, bits<Digest>()};
    case 13:
      return StageAbort{bits<StageId>()};
    case 14:
      return CutEnd{CutNumber{number()}, number(), coin(),   coin(),
                    bits<Fingerprint>(), coin(),   number(), coin()};
    case 15:
      return Ack{bits<Reign>(),
                 CutNumber{number()},
                 static_cast<AckLevel>(rng_() % 3),
                 bits<Fingerprint>(),
                 coin(),
                 number(),
                 number(),
                 bits<Fingerprint>()};
    case 16:
      return Refused{CutNumber{number()}, key(), coin(), bytes(100)};
    case 17:
      return SignatureRequest{key(), bits<Digest>(), static_cast<SignatureKind>(rng_() % 2)};
    case 18:
      return Signature{key(), bits<Digest>(), static_cast<SignatureKind>(rng_() % 2), coin(),
                       bytes(3000)};
    case 19:
      return VerifyRequest{number(), coin(), coin()};
    case 20: {
      VerifyReply m;
      m.id = number();
      m.position = position();
      m.content = bits<Fingerprint>();
      m.synced = coin();
      m.entries = number();
      m.bytes_read = number();
      times([&] { m.mismatches.push_back(bytes(300)); });
      if (coin()) m.sha256 = std::string(64, 'a');
      times([&] { m.held.push_back(bytes(300)); });
      return m;
    }
    case 21:
      return PeerNotice{bytes(50), number(), bytes(50)};
    case 22:
      return Bye{bytes(50), coin()};
    default:
      return Handover{.kind = static_cast<HandoverKind>(rng_() % 10),
                      .token = bits<Bits128>(),
                      .reign = bits<Reign>(),
                      .epoch = Epoch{number()},
                      .cut = CutNumber{number()},
                      .content = coin() ? bits<Fingerprint>() : Fingerprint{},
                      .identity = coin() ? bits<Fingerprint>() : Fingerprint{},
                      .reason = bytes(50)};
  }
}

inline Message random_message(size_t kind, std::mt19937_64& rng) {
  return MessageMaker(rng).make(kind);
}

}  // namespace repl::transport
