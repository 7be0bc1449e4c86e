"""Product quantization: sub-vectors of weights share centroids."""

from paring.methods.product._quantize import ProductCoded as ProductCoded
from paring.methods.product._quantize import ProductQuantized as ProductQuantized
from paring.methods.product._quantize import product_quantize as product_quantize
from paring.methods.product._quantize import product_rate as product_rate
from paring.methods.product._subvectors import product_codes as product_codes
