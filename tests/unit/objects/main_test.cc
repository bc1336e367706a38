#include <gtest/gtest.h>

#include "adapters/s3/s3.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  penstock::s3::end();
  return result;
}
