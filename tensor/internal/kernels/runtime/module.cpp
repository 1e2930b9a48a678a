#include "../torch.h"
#include <torch/script.h>

#include "../guard.h"
#include "module.h"

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <vector>

namespace {

using Object = c10::intrusive_ptr<c10::ivalue::Object>;

// Place is an attribute of a module or a submodule.
struct Place {
  Object object;
  size_t slot;
};

struct Entry {
  std::string name;
  bool parameter;
  std::vector<Place> places; // several if a tensor is shared
};

struct Flag {
  Place place;
  bool norm; // of a layer with running statistics
};

struct Module {
  torch::jit::Module module;
  std::vector<Entry> entries;
  std::vector<Flag> flags; // the attributes "training"
  std::mutex mutex;

  void list(const torch::jit::Module &m, const std::string &prefix, std::set<void *> &seen,
            std::map<void *, size_t> &known) {
    Object object = m._ivalue();
    if (!seen.insert(object.get()).second)
      return;
    auto type = object->type();
    auto add = [&](const std::string &name, const at::Tensor &t, bool parameter) {
      Place place{object, type->getAttributeSlot(name)};
      auto [it, fresh] = known.insert({t.unsafeGetTensorImpl(), entries.size()});
      if (fresh)
        entries.push_back({prefix + name, parameter, {}});
      entries[it->second].places.push_back(place);
    };
    for (const auto &p : m.named_parameters(false))
      if (p.value.defined())
        add(p.name, p.value, true);
    for (const auto &b : m.named_buffers(false))
      if (b.value.defined())
        add(b.name, b.value, false);
    if (auto slot = type->findAttributeSlot("training"))
      if (object->getSlot(*slot).isBool())
        flags.push_back({{object, *slot}, type->hasAttribute("running_mean")});
    for (const auto &c : m.named_children())
      list(c.value, prefix + c.name + ".", seen, known);
  }

  void put(const Entry &e, const at::Tensor &t) {
    for (const Place &p : e.places)
      p.object->setSlot(p.slot, t);
  }
};

Module *M(void *m) { return static_cast<Module *>(m); }

} // namespace

using engram::guarded;
using engram::T;

extern "C" {

void *eg_module_load(const char *path, int device) {
  return guarded<void *>(nullptr, [&] {
    auto where = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, device);
    auto m = std::make_unique<Module>();
    m->module = torch::jit::load(path, where);
    std::set<void *> seen;
    std::map<void *, size_t> known;
    m->list(m->module, "", seen, known);
    return m.release();
  });
}

void eg_module_free(void *module) { delete M(module); }

int eg_module_count(void *module) { return int(M(module)->entries.size()); }

const char *eg_module_name(void *module, int i) { return M(module)->entries[i].name.c_str(); }

void *eg_module_take(void *module, int i, int *parameter) {
  return guarded<void *>(nullptr, [&] {
    const Entry &e = M(module)->entries[i];
    const Place &p = e.places[0];
    at::Tensor t = p.object->getSlot(p.slot).toTensor().detach().contiguous();
    *parameter = e.parameter;
    M(module)->put(e, at::Tensor());
    return new at::Tensor(std::move(t));
  });
}

void *eg_module_forward(void *module, void *input, void **tensors, int training, int batch_stats, uint64_t seed) {
  return guarded<void *>(nullptr, [&] {
    Module &m = *M(module);
    std::lock_guard<std::mutex> lock(m.mutex);
    struct Restore { // after a call, also a failed one, the module holds none of its tensors
      Module &m;
      ~Restore() {
        for (const Entry &e : m.entries)
          m.put(e, at::Tensor());
      }
    } restore{m};
    for (const Flag &f : m.flags)
      f.place.object->setSlot(f.place.slot, f.norm ? batch_stats != 0 : training != 0);
    for (size_t i = 0; i < m.entries.size(); i++)
      m.put(m.entries[i], T(tensors[i]));
    if (training)
      at::manual_seed(seed);
    // Without the optimiser, whose results depend on earlier calls.
    torch::jit::GraphOptimizerEnabledGuard plain(false);
    torch::jit::IValue out = m.module.forward({T(input)});
    if (!out.isTensor())
      throw std::invalid_argument("forward returns a " + out.tagKind() + " instead of a tensor");
    for (size_t i = 0; i < m.entries.size(); i++) { // a layer may replace the tensor of a running statistic
      const Place &p = m.entries[i].places[0];
      const at::Tensor &now = p.object->getSlot(p.slot).toTensor();
      if (!m.entries[i].parameter && !now.is_same(T(tensors[i]))) {
        at::NoGradGuard guard;
        T(tensors[i]).copy_(now);
      }
    }
    return new at::Tensor(out.toTensor());
  });
}

} // extern "C"
