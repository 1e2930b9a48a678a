package experiments_test

// The recorded results are those of the engram command, where oneDNN computes LibTorch's products.
import _ "github.com/engram-go/engram/tensor/product"
