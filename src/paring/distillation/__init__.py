"""Training by other networks' outputs: losses, teachers, cached logits, hints. Needs torch."""

from paring.distillation._cache import CachedLogits as CachedLogits
from paring.distillation._cache import cached_logits as cached_logits
from paring.distillation._cache import teacher_identity as teacher_identity
from paring.distillation._hints import Hints as Hints
from paring.distillation._loss import distillation as distillation
from paring.distillation._loss import logit_matching as logit_matching
from paring.distillation._networks import Networks as Networks
from paring.distillation._networks import Teacher as Teacher
from paring.distillation._teachers import Renormalized as Renormalized
from paring.distillation._teachers import teacher as teacher
from paring.distillation._train import distill as distill
