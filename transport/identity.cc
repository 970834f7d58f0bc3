#include "transport/identity.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/fd.h"
#include "transport/crypto.h"

namespace repl::transport {

namespace {

constexpr size_t pem_bytes_max = 64 * 1024;
constexpr std::string_view fingerprint_prefix = "sha256:";

template <typename Write>
std::string to_pem(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || write(bio.get()) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// Valid always: nodes trust a pin, not a date, and a node whose clock is not set yet must be able
// to connect.
X509Ptr self_sign(EVP_PKEY* key, std::string_view node) {
  X509Ptr certificate(X509_new());
  if (certificate == nullptr) return nullptr;
  X509* x = certificate.get();
  uint64_t serial = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) != 1) return nullptr;
  X509_NAME* name = X509_get_subject_name(x);
  const bool ok = X509_set_version(x, X509_VERSION_3) == 1 &&
                  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) == 1 &&
                  ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20000101000000Z") == 1 &&
                  ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z") == 1 &&
                  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                             reinterpret_cast<const unsigned char*>(node.data()),
                                             static_cast<int>(node.size()), -1, 0) == 1 &&
                  X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
                  X509_sign(x, key, nullptr) != 0;
  return ok ? std::move(certificate) : nullptr;
}

Status write_new(const std::string& path, std::string_view text, mode_t mode) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd.valid()) {
    if (errno == EEXIST) return fail(ErrorCode::invalid, path + " exists already; remove it first");
    return fail_errno("create " + path);
  }
  if (::fchmod(fd.get(), mode) != 0) return fail_errno("set the mode of " + path);
  while (!text.empty()) {
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return fail_errno("write " + path);
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
  if (::fsync(fd.get()) != 0) return fail_errno("write " + path);
  return {};
}

Status check_secret(const std::string& path, const struct stat& st) {
  const auto refuse = [&](const std::string& why) {
    return fail(ErrorCode::untrusted, "key file " + path + " " + why);
  };
  if (!S_ISREG(st.st_mode)) return refuse("is not a regular file");
  if (st.st_uid != 0 && st.st_uid != ::geteuid()) return refuse("belongs to another user");
  if ((st.st_mode & 077) != 0) return refuse("can be used by others: chmod 600 " + path);
  return {};
}

Result<std::string> read_pem(const std::string& path, bool secret) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    if (errno == ELOOP) {
      return fail(ErrorCode::untrusted, path + " is a symlink; name the file itself");
    }
    return fail_errno("open " + path);
  }
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("stat " + path);
  if (secret) {
    if (auto status = check_secret(path, st); !status) return fail(std::move(status.error()));
  }
  std::string text(pem_bytes_max, '\0');
  const ssize_t n = ::pread(fd.get(), text.data(), text.size(), 0);
  if (n < 0) return fail_errno("read " + path);
  text.resize(static_cast<size_t>(n));
  return text;
}

}  // namespace

Result<Identity> generate_identity(std::string_view node) {
  if (node.empty() || node.size() > 64) {
    return fail(ErrorCode::invalid, "a node's name has 1 to 64 characters");
  }
  const PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (key == nullptr) return fail(crypto_error("generate an Ed25519 key"));
  const X509Ptr certificate = self_sign(key.get(), node);
  if (certificate == nullptr) return fail(crypto_error("make a certificate"));
  Identity identity;
  identity.key_pem = to_pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  identity.certificate_pem =
      to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
  identity.fingerprint = fingerprint_of(certificate.get());
  if (identity.key_pem.empty() || identity.certificate_pem.empty()) {
    return fail(crypto_error("write a key"));
  }
  return identity;
}

Status store_identity(const Identity& identity, const std::string& key_path,
                      const std::string& certificate_path) {
  if (auto status = write_new(key_path, identity.key_pem, 0600); !status) return status;
  if (auto status = write_new(certificate_path, identity.certificate_pem, 0644); !status) {
    ::unlink(key_path.c_str());  // ours, made a moment ago: half an identity is none
    return status;
  }
  return {};
}

Result<Identity> load_identity(const std::string& key_path, const std::string& certificate_path) {
  auto key_pem = read_pem(key_path, true);
  if (!key_pem) return fail(std::move(key_pem.error()));
  auto certificate_pem = read_pem(certificate_path, false);
  if (!certificate_pem) return fail(std::move(certificate_pem.error()));
  const PkeyPtr key = read_key(*key_pem);
  if (key == nullptr) return fail(crypto_error("read the key " + key_path));
  const X509Ptr certificate = read_certificate(*certificate_pem);
  if (certificate == nullptr) return fail(crypto_error("read the certificate " + certificate_path));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return fail(crypto_error("the key " + key_path + " and the certificate " + certificate_path +
                             " do not belong together"));
  }
  return Identity{std::move(*key_pem), std::move(*certificate_pem),
                  fingerprint_of(certificate.get())};
}

bool is_fingerprint(std::string_view text) {
  return text.starts_with(fingerprint_prefix) && text.size() == fingerprint_prefix.size() + 64 &&
         text.find_first_not_of("0123456789abcdef", fingerprint_prefix.size()) == text.npos;
}

}  // namespace repl::transport
