#include "engine/model/policy.h"

#include "engine/base/bytes.h"
#include "engine/model/hash.h"

namespace repl {

Bits128 policy_hash(const Policy& policy) {
  std::string record;
  ByteWriter out(record);
  out.string("repl policy 1");
  out.u8(policy.ids_by_name ? 1 : 0);
  out.bits(policy.filter.hash());
  return hash_bytes(record);
}

}  // namespace repl
