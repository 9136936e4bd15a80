"""What Python itself makes of the cases in a file: keys and tokens by `cryptography`, values and
settings as `airflow/configuration.py` reads them. Answers on stdout, as JSON."""

import configparser
import json
import os
import sys

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

ROUNDS = 64


def keys(case):
    """Airflow's get_fernet."""
    try:
        fernet = MultiFernet([Fernet(part.encode("utf-8")) for part in case["keys"].split(",")])
    except (ValueError, TypeError):
        return None
    return [opens(fernet, token) for token in case["tokens"]]


def opens(fernet, token):
    try:
        fernet.decrypt(token.encode()).decode()
        return True
    except (InvalidToken, UnicodeDecodeError):
        return False


def token(case):
    return Fernet(case["key"].encode()).encrypt(case["message"].encode()).decode()


def expand(value):
    """Airflow's expand_env_var, but for an end."""
    for _ in range(ROUNDS):
        interpolated = os.path.expanduser(os.path.expandvars(value))
        if interpolated == value:
            return value
        value = interpolated
    return None


class Parser(configparser.ConfigParser):
    def optionxform(self, optionstr):
        return optionstr


def settings(case):
    parser = Parser(strict=False)
    parser.read_string(case["text"])
    answers = []
    for section, key in case["names"]:
        try:
            found = parser.get(section, key) if parser.has_option(section, key) else None
        except configparser.InterpolationError:
            found = "refused"
        answers.append(found)
    return answers


def main():
    with open(sys.argv[1]) as file:
        cases = json.load(file)
    for name in list(os.environ):
        del os.environ[name]
    os.environ.update(cases["variables"])
    answers = {
        "tokens": [token(case) for case in cases["tokens"]],
        "keys": [keys(case) for case in cases["keys"]],
        "values": [expand(value) for value in cases["values"]],
        "settings": [settings(case) for case in cases["settings"]],
    }
    json.dump(answers, sys.stdout)


main()
