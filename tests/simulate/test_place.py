"""Where a process stands: options, Slurm, Open MPI, MPICH and Cloud TPU, and what they leave out."""

import http.server
import threading

import pytest
from jax._src import clusters

from signmag_jax.evidence import InvalidInput, MissingResource
from signmag_jax.simulate.place import Place, check_place, find, started

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[03-04]",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
OPEN_MPI_5 = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
OPEN_MPI = OPEN_MPI_5 | {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"}
MPICH = {"PMI_SIZE": "4", "PMI_RANK": "3"}
GKE = {"TPU_WORKER_HOSTNAMES": "localhost,other", "TPU_WORKER_ID": "1", "MEGASCALE_NUM_SLICES": "1"}
SINGLE_SLICE = {"MEGASCALE_SLICE_ID": "0", "MEGASCALE_COORDINATOR_ADDRESS": "localhost:80"}
NAMES = {*SLURM, *OPEN_MPI, *MPICH, *GKE, *SINGLE_SLICE, "TPU_PROCESS_ADDRESSES", "CUDA_VISIBLE_DEVICES"}
JAX_S = {"JAX_COORDINATOR_PORT", "KUBERNETES_SERVICE_HOST", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"}


@pytest.fixture
def environment(monkeypatch):
    for name in NAMES | JAX_S:
        monkeypatch.delenv(name, raising=False)

    def put(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.fixture
def tpu(monkeypatch):
    """A virtual machine with TPUs, as JAX sees it."""
    monkeypatch.setattr(clusters.cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        (SLURM, Place("node03:61447", 4, 3, [1])),
        (SLURM | {"JAX_COORDINATOR_PORT": "99"}, Place("node03:99", 4, 3, [1])),
        # One task on each machine takes all of its accelerators; one that sees a single one takes that.
        (SLURM | {"SLURM_STEP_NUM_NODES": "4"}, Place("node03:61447", 4, 3)),
        (SLURM | {"CUDA_VISIBLE_DEVICES": "6"}, Place("node03:61447", 4, 3)),
        (OPEN_MPI, Place("10.96.0.1:62624", 4, 3, [1])),
        (OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, Place("10.96.0.1:62624", 4, 3)),
        # `mpirun` under Slurm starts its helpers with `srun`, one on each machine.
        (OPEN_MPI | SLURM | {"SLURM_PROCID": "0"}, Place("10.96.0.1:62624", 4, 3, [1])),
    ],
)
def test_a_launcher_tells_all_three_as_jax_reads_it(environment, variables, place):
    environment(variables)
    assert find() == place
    found = clusters.ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, 1)
    assert found[:3] == (place.coordinator, place.processes, place.process)


@pytest.mark.parametrize("variables", [OPEN_MPI_5, MPICH])
def test_who_does_not_tell_the_address_is_asked_for_it(environment, variables):
    environment(variables)
    with pytest.raises(
        MissingResource, match=r"4 processes, but does not tell where process 0 is: give .*HOST:PORT"
    ):
        find()
    found = find("10.0.0.1:1234")
    assert (found.coordinator, found.processes, found.process) == ("10.0.0.1:1234", 4, 3)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # a batch script, which runs once
        SLURM | {"SLURM_STEP_NUM_TASKS": "1"},  # the shell of an allocation of four tasks
        {"SLURM_STEP_NODELIST": "a", "SLURM_NTASKS": "1"},
        {"OMPI_COMM_WORLD_SIZE": "1"},
        {"PMI_SIZE": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost"},
    ],
)
def test_one_process_is_alone(environment, variables):
    environment(variables)
    assert started() is None
    with pytest.raises(MissingResource, match="name coordinator, processes and process"):
        find()


LACKING = [
    *((SLURM, name) for name in ("SLURM_JOB_ID", "SLURM_PROCID", "SLURM_LOCALID")),
    *((OPEN_MPI, name) for name in ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")),
    (MPICH, "PMI_RANK"),
    (GKE, "TPU_WORKER_ID"),
]


@pytest.mark.parametrize(("variables", "name"), LACKING)
@pytest.mark.parametrize("broken", ["is not set", "is 'x', which is no whole number", "is '', which"])
def test_what_is_set_by_half_is_one_clear_line(environment, monkeypatch, variables, name, broken):
    environment(variables)
    if broken == "is not set":
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, broken.split("'")[1])
    with pytest.raises(
        MissingResource, match=f"started this process, but {name} {broken}.*--processes 1"
    ) as caught:
        started()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (SLURM | {"SLURM_PROCID": "4"}, "SLURM_PROCID is 4 of 4 processes, which count from 0"),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "four"}, "SLURM_STEP_NUM_TASKS is 'four'"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "many"}, "OMPI_COMM_WORLD_SIZE is 'many'"),
        (OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "1.0;usock"}, r"Open MPI does not tell .*\(Could not parse"),
        (GKE, "TPU_WORKER_HOSTNAMES names 2 workers, but JAX finds no TPU here: install"),
    ],
)
def test_nonsense_is_one_clear_line(environment, variables, message):
    environment(variables)
    with pytest.raises(MissingResource, match=message):
        find()


def test_a_port_of_the_environment_that_is_none_is_refused(environment):
    environment(SLURM | {"JAX_COORDINATOR_PORT": "any"})
    with pytest.raises(InvalidInput, match="received 'node03:any'"):
        find()


@pytest.mark.usefixtures("tpu")
def test_cloud_tpu_names_its_workers(environment):
    environment(GKE | SINGLE_SLICE)
    assert find(timeout=1.0) == Place("localhost:8482", 2, 1)
    environment({"TPU_PROCESS_ADDRESSES": "localhost"})
    assert started() is None


@pytest.mark.usefixtures("tpu")
def test_slices_multiply_the_workers(environment):
    environment(GKE | SINGLE_SLICE | {"MEGASCALE_NUM_SLICES": "3", "MEGASCALE_SLICE_ID": "2"})
    assert find(timeout=1.0) == Place("localhost:8482", 6, 5)


METADATA = {
    "agent-worker-number": "1",
    "worker-network-endpoints": "a:b:127.0.0.1,c:d:127.0.0.2,e:f:127.0.0.3",
    "tpu-env": "ACCELERATOR_TYPE: 'v4-24'",
}


@pytest.fixture
def metadata(monkeypatch):
    """The server that a machine of Compute Engine asks about itself."""
    answers = dict(METADATA)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[self.path.rpartition("/")[2]].encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{server.server_address[1]}")
        monkeypatch.delenv("TPU_SKIP_MDS_QUERY", raising=False)
        yield answers
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("tpu")
def test_machines_of_a_pod_that_no_variable_names_are_found(environment, metadata):
    pytest.importorskip("requests")
    environment({})
    assert find(timeout=1.0) == Place("127.0.0.1:8482", 3, 1)
    metadata["worker-network-endpoints"] = "a:b:127.0.0.1"
    assert started() is None


@pytest.mark.usefixtures("tpu")
def test_a_machine_that_nobody_knows_is_alone(environment, monkeypatch):
    environment({})
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY", raising=False)
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:1")
    assert started() is None


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("host", 2, 0), "`coordinator is HOST:PORT` is required, received 'host'"),
        (("host:0", 2, 0), "HOST:PORT"),
        (("host:70000", 2, 0), "HOST:PORT"),
        ((":1234", 2, 0), "HOST:PORT"),
        (("host:1", 0, 0), "`processes is an integer >= 1`"),
        (("host:1", True, 0), "`processes is an integer >= 1`"),
        (("host:1", 2, -1), "`process is an integer >= 0`"),
        (("host:1", 2, 2), "`process < processes` is required, received '2 of 2'"),
        ((None, 2, None), "`coordinator with processes and process`"),
        ((None, None, 1), "`coordinator with processes and process`"),
        (("host:1", 2, 0, 0.5), "`1 <= timeout`"),
        (("host:1", 2, 0, float("nan")), "`1 <= timeout`"),
    ],
)
def test_an_impossible_place_is_one_clear_line(place, message):
    with pytest.raises(InvalidInput, match=message):
        check_place(*place)
