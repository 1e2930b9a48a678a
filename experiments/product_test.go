package experiments_test

// The recorded results are those of the engram command, which computes LibTorch's products by oneDNN.
import _ "github.com/engram-go/engram/tensor/product"
