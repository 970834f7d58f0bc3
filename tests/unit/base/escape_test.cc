#include "engine/base/escape.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace repl {
namespace {

// The inverse, as a person or a script would write it.
std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
    } else if (text[i + 1] == '\\') {
      out += '\\';
      ++i;
    } else {
      EXPECT_EQ(text[i + 1], 'x');
      out += static_cast<char>(std::stoi(text.substr(i + 2, 2), nullptr, 16));
      i += 3;
    }
  }
  return out;
}

TEST(Escape, PlainTextStays) {
  EXPECT_EQ(escape(""), "");
  EXPECT_EQ(escape("a name, with 'signs' & \"quotes\".txt"),
            "a name, with 'signs' & \"quotes\".txt");
  EXPECT_EQ(escape("\u00e4\u20ac\U0001F600"), "\u00e4\u20ac\U0001F600");
}

TEST(Escape, WhatTerminalsObeyDoesNot) {
  EXPECT_EQ(escape("a\nb\tc"), "a\\x0ab\\x09c");
  EXPECT_EQ(escape("\x1b[31mred"), "\\x1b[31mred");
  EXPECT_EQ(escape("\x7f"), "\\x7f");
  EXPECT_EQ(escape(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(escape("\xc2\x9b"), "\\xc2\\x9b") << "CSI as a C1 control";
  EXPECT_EQ(escape("back\\slash"), "back\\\\slash");
}

TEST(Escape, InvalidUtf8IsShownByteByByte) {
  EXPECT_EQ(escape("\xff"), "\\xff");
  EXPECT_EQ(escape("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(escape("\xe0\x80\xaf"), "\\xe0\\x80\\xaf") << "overlong";
  EXPECT_EQ(escape("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
  EXPECT_EQ(escape("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "above U+10FFFF";
  EXPECT_EQ(escape("\xe2\x82"), "\\xe2\\x82") << "cut off";
  EXPECT_EQ(escape("\xe2\x82"
                   "A"),
            "\\xe2\\x82A");
}

TEST(Escape, EveryPairOfBytesCanBeReadBack) {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string bytes{static_cast<char>(a), static_cast<char>(b)};
      const std::string text = escape(bytes);
      ASSERT_EQ(unescape(text), bytes);
      for (const char c : text) {
        ASSERT_TRUE(static_cast<uint8_t>(c) >= 0x20 && c != 0x7F) << a << " " << b;
      }
    }
  }
}

}  // namespace
}  // namespace repl
