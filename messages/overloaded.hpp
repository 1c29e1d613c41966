#pragma once

namespace ved {

/// One visitor made of lambdas: std::visit(overloaded{[](A) {...}, [](B) {...}}, variant).
template <class... Fs>
struct overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
overloaded(Fs...) -> overloaded<Fs...>;

}  // namespace ved
