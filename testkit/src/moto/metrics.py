# What each metric of a namespace adds up to.
import boto3, datetime, json, sys

cloudwatch = boto3.client("cloudwatch")
now = datetime.datetime.now(datetime.timezone.utc)
metrics = []
for page in cloudwatch.get_paginator("list_metrics").paginate(Namespace=sys.argv[1]):
    for metric in page["Metrics"]:
        points = cloudwatch.get_metric_statistics(
            Namespace=sys.argv[1], MetricName=metric["MetricName"], Dimensions=metric["Dimensions"],
            StartTime=now - datetime.timedelta(days=1), EndTime=now + datetime.timedelta(days=1),
            Period=2 * 86400, Statistics=["SampleCount", "Sum", "Minimum", "Maximum"],
        )["Datapoints"]
        entry = {
            "name": metric["MetricName"],
            "dimensions": sorted([d["Name"], d["Value"]] for d in metric["Dimensions"]),
            "count": sum(point["SampleCount"] for point in points),
            "sum": sum(point["Sum"] for point in points),
            "minimum": min((point["Minimum"] for point in points), default=0),
            "maximum": max((point["Maximum"] for point in points), default=0),
        }
        if entry not in metrics:
            metrics.append(entry)
print(json.dumps(sorted(metrics, key=lambda entry: (entry["name"], entry["dimensions"]))))
