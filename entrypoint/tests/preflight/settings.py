"""What the real Airflow finds for settings, case by case; answers on stdout, as JSON."""

import json
import os
import sys
import warnings

warnings.simplefilter("ignore")


def find(names):
    from airflow.configuration import conf

    answers = []
    for section, key in names:
        try:
            answers.append(conf.get(section, key, fallback=None, suppress_warnings=True))
        except Exception as error:  # noqa: BLE001
            answers.append(f"refused: {error}")
    return answers


def main():
    with open(sys.argv[1]) as file:
        asked = json.load(file)
    names, before = asked["names"], dict(os.environ)
    answers = {"unset": find(names), "found": []}
    for variables in asked["cases"]:
        os.environ.update(variables)
        answers["found"].append(find(names))
        os.environ.clear()
        os.environ.update(before)
    print()
    json.dump(answers, sys.stdout)


main()
