// Takes back the macros of compat.h, so that C++ of our own sees LibTorch as it is.
#undef torch
#undef _sparse_mask_projection
#undef _to_dense
#undef _to_sparse
#undef _to_sparse_bsc
#undef _to_sparse_bsr
#undef _to_sparse_csc
#undef _to_sparse_csr
#undef to_dense
#undef to_sparse
#undef to_sparse_bsc
#undef to_sparse_bsr
#undef to_sparse_csc
#undef to_sparse_csr
#undef squeeze_
