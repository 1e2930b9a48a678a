#include "memory.h"

#include <cstring>
#include <string>

namespace engram {

using Make = std::shared_ptr<const Memory>(int64_t slots, int64_t width, const Settings &settings);

// Each is defined in the file of its name.
Make make_dnc, make_lrua, make_ntm;

namespace {

// All fused memories with their names in Go. To add one, add a line here and above.
const struct {
  const char *name;
  Make *make;
} memories[] = {
    {"dnc", make_dnc},
    {"lrua", make_lrua},
    {"ntm", make_ntm},
};

} // namespace

std::shared_ptr<const Memory> make_memory(const char *name, int64_t slots, int64_t width, const Settings &settings) {
  for (const auto &m : memories)
    if (strcmp(m.name, name) == 0)
      return m.make(slots, width, settings);
  throw std::invalid_argument("no fused memory is named " + std::string(name) + "; memories.cpp lists them");
}

} // namespace engram
