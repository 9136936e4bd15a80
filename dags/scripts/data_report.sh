# Lists what the data directory holds. Rendered by Airflow before it runs.
set -eu
echo "working day before this run: {{ macros.business_calendar.previous_working_day(ds if ds is defined else none) }}"
directory="{{ params.directory }}"
if [ -d "$directory" ]; then
    find "$directory" -type f | wc -l
fi
