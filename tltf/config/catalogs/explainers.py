"""EXPLAINERS: the methods that say which parts of an input an answer rests on."""

from tltf.config.catalogs.row import Row

EXPLAINERS = {
    "grad_cam": Row(
        "tltf.evaluation.explanations.grad_cam:GradCam",
        {"layer": ""},
        "where the last feature map speaks for the answer; coarse, and one pass",
        paper="Selvaraju et al. 2017, arXiv:1610.02391",
        title="Grad-CAM",
        modality="image",
    ),
    "integrated_gradients": Row(
        "tltf.evaluation.explanations.integrated_gradients:IntegratedGradients",
        {"baseline": "auto", "tolerance": 0.01, "most_steps": 512},
        "what each pixel or word adds to the answer, in shares that sum up to all of it",
        paper="Sundararajan et al. 2017, arXiv:1703.01365",
        title="Integrated gradients",
    ),
}
