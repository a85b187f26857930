// Errors: which of them are final, and what is said of them.
#include "check.hpp"

#include <mutex>

namespace hesscore::cuda {

namespace {

// After these, every call of the process fails with the same code.
bool is_final(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
      return true;
    default:
      return false;
  }
}

// The sentence of the first final error; empty before it.
std::string final_sentence(cudaError_t error, const std::string& sentence) {
  static std::mutex mutex;
  static std::string first;
  const std::lock_guard lock(mutex);
  if (first.empty() && is_final(error)) {
    first = sentence + ", and nothing more can run on the GPU in this process";
  }
  return first;
}

}  // namespace

void fail(cudaError_t error, const char* operation) {
  cudaGetLastError();  // forget it, if it can be forgotten: the next check is about the next call
  const std::string sentence = std::string(operation) + " failed with " + describe(error);
  const std::string first = final_sentence(error, sentence);
  throw DeviceError(first.empty() ? sentence : first);
}

}  // namespace hesscore::cuda
