// Memory of a GPU: from a pool of our own, or from functions that somebody gave.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "handles.hpp"

namespace hesscore::cuda {

class Memory {
 public:
  using Allocate = std::function<void*(std::size_t)>;
  using Free = std::function<void(void*)>;

  explicit Memory(int device);

  // For work on `stream`. Throws OutOfMemoryError.
  void* allocate(std::size_t bytes, cudaStream_t stream);
  // After the work on `stream`.
  void free(void* p, cudaStream_t stream) noexcept;
  void use(Allocate allocate, Free free);

 private:
  void* from_pool(std::size_t bytes, cudaStream_t stream);

  int device_;
  MemPool pool_;  // null: the driver has none
  std::mutex mutex_;
  Allocate allocate_;
  Free free_;
  std::unordered_map<void*, Free> given_;  // what came from given functions, and goes back to them
};

}  // namespace hesscore::cuda
