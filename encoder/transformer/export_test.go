package transformer

// Resize is the interpolation of vectors of positions, for tests.
var Resize = Interpolation.resize
