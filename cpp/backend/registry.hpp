// What the CPU backend defines. Declared here because `cpu` is a leaf that nobody includes.
#pragma once

#include <memory>

#include "hesscore/device.hpp"

namespace hesscore {

std::unique_ptr<Device> make_cpu_device();

namespace cpu {
void set_num_threads(int n);
int num_threads();
}  // namespace cpu

}  // namespace hesscore
