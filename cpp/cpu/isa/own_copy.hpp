// Copies in a thread's scratch memory that tasks of one job share when they follow each other on
// that thread. Every thread packs for itself, since reading what another core has just written
// costs more than packing it again.
#pragma once

#include "cpu/isa/simd.hpp"
#include "cpu/parallel.hpp"

namespace hesscore::cpu::HC_ISA {

// What a thread has packed last, in front of the copy itself.
struct PackedBy {
  const void* variant = nullptr;  // the address of this variant's `jobs`
  std::int64_t job = -1, which = -1;

  bool operator==(const PackedBy&) const = default;
};
inline std::int64_t jobs = 0;

inline std::int64_t new_job() { return __atomic_add_fetch(&jobs, 1, __ATOMIC_RELAXED); }

inline constexpr std::int64_t kHeader = 64;  // bytes
static_assert(sizeof(PackedBy) <= kHeader);

inline std::int64_t own_copy_bytes(std::int64_t size, std::size_t element) {
  return kHeader + size * static_cast<std::int64_t>(element);
}

// The thread's buffer for `size` numbers; `fill` is called unless it holds (job, which) already.
template <class T, class Fill>
static T* own_copy(int buffer, std::int64_t size, std::int64_t job, std::int64_t which,
                   const Fill& fill) {
  char* memory = static_cast<char*>(scratch(buffer, own_copy_bytes(size, sizeof(T))));
  T* numbers = reinterpret_cast<T*>(memory + kHeader);
  PackedBy& holds = *reinterpret_cast<PackedBy*>(memory);
  const PackedBy wanted{&jobs, job, which};
  if (!(holds == wanted)) {
    holds = {};
    fill(numbers);
    holds = wanted;
  }
  return numbers;
}

}  // namespace hesscore::cpu::HC_ISA
