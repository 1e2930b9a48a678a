// The inner loop of adam.cpp, which includes this file once per kind of processor.

template <class S, bool kept>
static void move(S *__restrict p, S *__restrict m, S *__restrict v, const S *__restrict g, int64_t n,
                 const AdamStep<S> &by) {
  const AdamStep<S> r = by;
  for (int64_t k = 0; k < n; k++) {
    const S x = p[k] * r.shrink, gk = g[k] + r.l2 * p[k];
    S first = gk;
    if (kept)
      m[k] = first = r.b1 * m[k] + r.a1 * gk;
    const S second = r.b2 * v[k] + r.a2 * gk * gk;
    v[k] = second;
    p[k] = x - r.rate * first / (root(second) * r.inv + r.eps);
  }
}
