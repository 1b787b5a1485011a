"""What pyproject.toml cannot say: `data` is installed as `replication/shipped`; see `replication.io.files`."""

from setuptools import find_namespace_packages, find_packages, setup

FOLDERS = ["replication.shipped", *(f"replication.shipped.{folder}" for folder in find_namespace_packages("data"))]

setup(
    packages=[*find_packages(include=["replication*"]), *FOLDERS],
    package_dir={"replication.shipped": "data"},
    package_data={folder: ["*"] for folder in FOLDERS}
    | {"replication": ["py.typed"], "replication.report": ["claims/*.toml"]},
)
