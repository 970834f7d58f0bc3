#include "engine/base/error.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "engine/base/check.h"
#include "engine/base/fd.h"

namespace repl {
namespace {

TEST(Error, ErrnoHasAClass) {
  const std::pair<int, ErrorCode> table[] = {{ENOENT, ErrorCode::not_found},
                                             {ESTALE, ErrorCode::not_found},
                                             {ENOTDIR, ErrorCode::not_found},
                                             {ENOSPC, ErrorCode::no_space},
                                             {EDQUOT, ErrorCode::no_space},
                                             {EACCES, ErrorCode::not_permitted},
                                             {EPERM, ErrorCode::not_permitted},
                                             {EROFS, ErrorCode::not_permitted},
                                             {EOPNOTSUPP, ErrorCode::unsupported},
                                             {ENOSYS, ErrorCode::unsupported},
                                             {ETIMEDOUT, ErrorCode::timeout},
                                             {EPIPE, ErrorCode::closed},
                                             {ECONNRESET, ErrorCode::closed},
                                             {EIO, ErrorCode::io},
                                             {ELOOP, ErrorCode::io},
                                             {123456, ErrorCode::io}};
  for (const auto& [number, code] : table) {
    const Error error = sys_error("do it", number);
    EXPECT_EQ(error.code, code) << number;
    EXPECT_EQ(error.sys_errno, number);
    EXPECT_TRUE(error.message.starts_with("do it: ")) << error.message;
    EXPECT_GT(error.message.size(), 7U);
  }
}

TEST(Error, FailErrnoReadsErrno) {
  errno = ENOSPC;
  const Status status = fail_errno("write /x");
  EXPECT_EQ(status.error().code, ErrorCode::no_space);
  EXPECT_EQ(status.error().message, "write /x: No space left on device");
}

TEST(Error, FailCarriesTheRemedy) {
  const Result<int> result = fail(ErrorCode::changed, "it changed", Remedy::rescan);
  EXPECT_EQ(result.error().code, ErrorCode::changed);
  EXPECT_EQ(result.error().remedy, Remedy::rescan);
  EXPECT_EQ(result.error().sys_errno, 0);
}

TEST(CheckDeathTest, AFailedCheckSaysWhere) {
  REPL_CHECK(1 + 1 == 2);
  EXPECT_DEATH(REPL_CHECK(1 + 1 == 3), "1 \\+ 1 == 3");
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, ClosesOnce) {
  int number = -1;
  {
    Fd fd(::open("/dev/null", O_RDONLY));
    number = fd.get();
    ASSERT_TRUE(is_open(number));
    Fd moved(std::move(fd));
    EXPECT_FALSE(fd.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(is_open(number));
    Fd& self = moved;
    moved = std::move(self);
    EXPECT_TRUE(is_open(number));
    moved = Fd(::open("/dev/null", O_RDONLY));
    EXPECT_TRUE(moved.valid());
    number = moved.get();
  }
  EXPECT_FALSE(is_open(number));
  Fd released(::open("/dev/null", O_RDONLY));
  number = released.release();
  released.reset();
  EXPECT_TRUE(is_open(number));
  ::close(number);
}

}  // namespace
}  // namespace repl
