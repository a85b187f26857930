// What the plugin says of CUDA's errors, those after which nothing works among them.
#include <string>

#include "../cuda/check.cpp"
#include "check.hpp"

namespace hc = hesscore;

namespace {

std::string sentence(cudaError_t error, const char* operation) {
  try {
    hc::cuda::check(error, operation);
  } catch (const hc::DeviceError& failure) {
    return failure.what();
  }
  return "";
}

}  // namespace

TEST("an error names the operation and itself") {
  CHECK(sentence(cudaSuccess, "copying").empty());
  const std::string text = sentence(cudaErrorInvalidValue, "copying");
  CHECK(text.starts_with("copying failed with cudaErrorInvalidValue: "));
}

TEST("errors that can be forgotten are") {
  CHECK(sentence(cudaErrorInvalidValue, "copying").starts_with("copying"));
  CHECK(sentence(cudaErrorNotSupported, "launching").starts_with("launching"));
}

TEST("after a final error, every later one tells of the first") {
  const std::string first = sentence(cudaErrorIllegalAddress, "waiting for the device");
  CHECK(first.starts_with("waiting for the device failed with " +
                          hc::cuda::describe(cudaErrorIllegalAddress)));
  CHECK(first.ends_with("nothing more can run on the GPU in this process"));
  CHECK(sentence(cudaErrorIllegalAddress, "copying") == first);
  CHECK(sentence(cudaErrorLaunchFailure, "allocating memory") == first);
  CHECK(sentence(cudaErrorInvalidValue, "an upload") == first);
}
