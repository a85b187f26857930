// Quantities, the rules they need, and the layers that lack one.
#include "objective/supported.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "objective/kronecker_layout.hpp"
#include "ops/op.hpp"

namespace hesscore {
namespace {

// Gradients of single samples are columns side by side that must not reach each other.
struct Quantity {
  std::string_view name;
  bool of_single_samples;
};
constexpr std::string_view kKronecker = "kron";
constexpr Quantity kQuantities[] = {{"predict", false},
                                    {"loss", false},
                                    {"grad", false},
                                    {"jvp", false},
                                    {"vjp", false},
                                    {"hvp", false},
                                    {"ggnvp", false},
                                    {"fishervp", false},
                                    {"hesscale", false},
                                    {"hesscale_gn", false},
                                    {"bl89", false},
                                    {"ggn", true},
                                    {"ggn_mc", true},
                                    {"hutchinson", false},
                                    {"empirical_fisher", true},
                                    {"hessian", false},
                                    {"per_sample_grads", true},
                                    {"grad_moments", true},
                                    {kKronecker, true}};

constexpr std::pair<std::string_view, Diag> kDiagonals[] = {
    {"hesscale", Diag::hesscale},
    {"hesscale_gn", Diag::hesscale_gn},
    {"bl89", Diag::bl89},
    {"ggn", Diag::ggn},
    {"ggn_mc", Diag::ggn_mc},
    {"hutchinson", Diag::hutchinson},
    {"empirical_fisher", Diag::empirical_fisher},
    {"hessian", Diag::hessian}};

std::string_view name_of(Diag kind) {
  for (const auto& [name, known] : kDiagonals) {
    if (known == kind) return name;
  }
  return {};
}

bool of_single_samples(std::string_view name) {
  return std::any_of(std::begin(kQuantities), std::end(kQuantities),
                     [&](const Quantity& q) { return q.name == name && q.of_single_samples; });
}

// Do columns of one sample reach others there? Adjoints stop where no parameter reaches the value.
std::vector<bool> couples(const Graph& graph, bool train) {
  std::vector<bool> active, coupled;
  for (const Node& n : graph.nodes()) {
    active.push_back(n.group >= 0 || std::any_of(n.inputs.begin(), n.inputs.end(), [&](int i) {
                       return active[static_cast<std::size_t>(i)];
                     }));
    coupled.push_back(n.op && active.back() && n.op->couples_samples(train));
  }
  return coupled;
}

// Adds the request for a product of that name.
bool product_by_name(std::string_view name, std::vector<Request>& requests) {
  using What = Request::What;
  constexpr std::tuple<std::string_view, What, Product> kProducts[] = {
      {"hvp", What::product, Product::hessian},
      {"ggnvp", What::product, Product::ggn},
      {"fishervp", What::product, Product::fisher_empirical},
      {"jvp", What::jvp, Product::hessian},
      {"vjp", What::vjp, Product::hessian}};
  for (const auto& [known, what, product] : kProducts) {
    if (known != name) continue;
    Request r;
    r.what = what;
    r.product = product;
    requests.push_back(r);
    return true;
  }
  return false;
}

}  // namespace

std::vector<std::vector<std::string>> supported(const Graph& graph, bool train) {
  const std::vector<bool> coupled = couples(graph, train);
  std::vector<std::vector<std::string>> rows(coupled.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const Quantity& q : kQuantities) {
      const Op* const op = graph.nodes()[i].op.get();
      const bool lacks_rule = q.name == kKronecker && op != nullptr && !op->parameters().empty() &&
                              op->kronecker_parts().empty();
      if ((!q.of_single_samples || !coupled[i]) && !lacks_rule) rows[i].emplace_back(q.name);
    }
  }
  return rows;
}

std::vector<Request> requests_for(const std::vector<std::string>& quantities, int samples,
                                  std::int64_t max_memory) {
  std::vector<Request> products;
  Request r;
  bool evaluated = false;
  for (const std::string& name : quantities) {
    if (product_by_name(name, products)) continue;
    evaluated = true;
    const auto* const known = std::find_if(std::begin(kDiagonals), std::end(kDiagonals),
                                           [&](const auto& d) { return d.first == name; });
    if (known != std::end(kDiagonals)) {
      const bool sampled = known->second == Diag::ggn_mc || known->second == Diag::hutchinson;
      const bool in_chunks = known->second == Diag::hessian || known->second == Diag::ggn;
      r.diag.push_back({known->second, sampled ? samples : 1, in_chunks ? max_memory : 0});
    } else if (name == "grad") {
      r.grad = true;
    } else if (name == "predict") {
      r.predict = true;
    } else if (name == "per_sample_grads") {
      r.per_sample_grads = true;
    } else if (name == "grad_moments") {
      r.grad_moments = {true, true, true, true};
    } else if (name == kKronecker) {
      r.kronecker = {.samples = samples};
    } else if (name != "loss") {
      throw OptionError("quantities",
                        "loss, grad, predict, per_sample_grads, grad_moments, kron, diagonals, "
                        "and products such as hvp",
                        "'" + name + "'");
    }
  }
  if (evaluated) products.push_back(r);
  return products;
}

void check_supported(const Request& r, const Graph& graph) {
  if (r.what != Request::What::evaluate) return;
  std::string refused;
  for (const DiagRequest& d : r.diag) {
    if (of_single_samples(name_of(d.kind))) refused = name_of(d.kind);
  }
  if (r.per_sample_grads) refused = "per_sample_grads";
  if (r.grad_moments.any()) refused = "grad_moments";
  if (r.kronecker) {
    refused = kKronecker;
    const std::string layers = without_kronecker_rule(graph);
    if (!layers.empty()) throw UnsupportedError("kron has no rule for " + layers);
    const bool recursive = r.kronecker->kind == Factors::recursive;
    const std::string stops = recursive ? without_recursion(graph, r.train) : "";
    if (!stops.empty()) {
      throw UnsupportedError(
          "KFRA goes through chains of layers of up to 8192 numbers, linear with fixed "
          "coefficients or element-wise, not " +
          stops);
    }
  }
  if (refused.empty()) return;
  const std::vector<bool> coupled = couples(graph, r.train);
  std::string layers;
  for (std::size_t i = 0; i < coupled.size(); ++i) {
    if (!coupled[i]) continue;
    const Node& node = graph.nodes()[i];
    const auto group = static_cast<std::size_t>(node.group);
    const std::string& name = node.group < 0 ? node.name : graph.groups()[group].name;
    layers += (layers.empty() ? "" : ", ") + node.op->describe() + " '" + name + "'";
  }
  if (layers.empty()) return;
  throw UnsupportedError(refused + " needs the gradients of single samples, but samples share " +
                         "statistics" + (r.train ? " in training mode" : "") + " in " + layers);
}

}  // namespace hesscore
