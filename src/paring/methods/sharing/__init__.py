"""Weights share a few values (vector quantization of single weights)."""

from paring.methods.sharing._clustering import INITIALIZATIONS as INITIALIZATIONS
from paring.methods.sharing._clustering import initial_centroids as initial_centroids
from paring.methods.sharing._clustering import lloyd as lloyd
from paring.methods.sharing._clustering import nearest as nearest
from paring.methods.sharing._exact_kmeans import Clustering as Clustering
from paring.methods.sharing._exact_kmeans import exact_kmeans as exact_kmeans
from paring.methods.sharing._exact_kmeans import proven_kmeans as proven_kmeans
from paring.methods.sharing._kmeans_reference import exact_kmeans_reference as exact_kmeans_reference
from paring.methods.sharing._share import Shared as Shared
from paring.methods.sharing._share import share as share
from paring.methods.sharing._share import share_values as share_values
from paring.methods.sharing._share import sharing_rate as sharing_rate
