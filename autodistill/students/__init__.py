"""Student families: parametrised architectures, their closed-form sizes and how they start from a teacher.

One file per family (`bert`, `mobilebert`); `configs` has their parameters and default spaces, `importance` ranks what
a narrower student keeps, `initialisation` copies and reduces tensors, `layers` maps student layers to teacher layers.
Search over architectures lives in `autodistill.search`; the protocol in `autodistill.components.students`.
"""
