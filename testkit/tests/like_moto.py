# One story told to an S3 endpoint through boto3; prints what the endpoint answered, by name.
import base64, hashlib, json, zlib
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client("s3", config=Config(retries={"max_attempts": 1}, request_checksum_calculation="when_required",
                                      response_checksum_validation="when_required"))
B = "bucket"
answers = {}


def note(name, call):
    try:
        answers[name] = call()
    except ClientError as error:
        answers[name] = [error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]]


def pick(response, *names):
    return {name: response.get(name) for name in names}


def body(response):
    return response["Body"].read().decode("latin-1")


note("no bucket", lambda: s3.list_objects_v2(Bucket="absent"))
s3.create_bucket(Bucket=B)
note("buckets", lambda: [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]])
note("location", lambda: s3.get_bucket_location(Bucket=B)["LocationConstraint"])
note("head bucket", lambda: s3.head_bucket(Bucket=B)["ResponseMetadata"]["HTTPStatusCode"])
note("head no bucket", lambda: s3.head_bucket(Bucket="absent"))
note("empty listing", lambda: pick(s3.list_objects_v2(Bucket=B), "KeyCount", "IsTruncated", "Contents", "Prefix"))

text = b"0123456789" * 10
note("put", lambda: s3.put_object(Bucket=B, Key="plain", Body=text, ContentType="text/plain",
                                  Metadata={"who": "me"}, CacheControl="no-cache")["ETag"])
note("get", lambda: (lambda r: [body(r), pick(r, "ETag", "ContentLength", "ContentType", "Metadata", "AcceptRanges",
                                              "CacheControl")])(s3.get_object(Bucket=B, Key="plain")))
note("head", lambda: pick(s3.head_object(Bucket=B, Key="plain"), "ETag", "ContentLength", "ContentType", "Metadata"))
note("get nothing", lambda: s3.get_object(Bucket=B, Key="absent"))
note("head nothing", lambda: s3.head_object(Bucket=B, Key="absent"))
for wanted in ["bytes=0-9", "bytes=95-200", "bytes=95-", "bytes=-7", "bytes=100-", "bytes=200-300"]:
    note(f"range {wanted}", lambda: (lambda r: [body(r), pick(r, "ContentRange", "ContentLength", "ETag")])(
        s3.get_object(Bucket=B, Key="plain", Range=wanted)))
etag = s3.head_object(Bucket=B, Key="plain")["ETag"]
note("if-match", lambda: body(s3.get_object(Bucket=B, Key="plain", IfMatch=etag)))
note("if-match without quotes", lambda: body(s3.get_object(Bucket=B, Key="plain", IfMatch=etag.strip('"'))))
note("if-match another", lambda: s3.get_object(Bucket=B, Key="plain", IfMatch='"0123"'))
note("if-none-match", lambda: s3.get_object(Bucket=B, Key="plain", IfNoneMatch=etag))
note("if-none-match another", lambda: body(s3.get_object(Bucket=B, Key="plain", IfNoneMatch='"0123"')))
note("put if absent", lambda: s3.put_object(Bucket=B, Key="plain", Body=b"x", IfNoneMatch="*"))
note("head if-match another", lambda: s3.head_object(Bucket=B, Key="plain", IfMatch='"0123"'))
modified = s3.head_object(Bucket=B, Key="plain")["LastModified"]
note("unmodified since", lambda: body(s3.get_object(Bucket=B, Key="plain", IfUnmodifiedSince=modified)))
note("modified since", lambda: s3.get_object(Bucket=B, Key="plain", IfModifiedSince=modified))
note("wrong md5", lambda: s3.put_object(Bucket=B, Key="bad", Body=b"x",
                                        ContentMD5=base64.b64encode(hashlib.md5(b"y").digest()).decode()))
s3.delete_object(Bucket=B, Key="bad")
note("right md5", lambda: s3.put_object(Bucket=B, Key="good", Body=b"x",
                                        ContentMD5=base64.b64encode(hashlib.md5(b"x").digest()).decode())["ETag"])

for algorithm in ["CRC32", "SHA1", "SHA256"]:
    note(f"put {algorithm}", lambda: s3.put_object(Bucket=B, Key=algorithm, Body=text,
                                                   ChecksumAlgorithm=algorithm)[f"Checksum{algorithm}"])
    note(f"head {algorithm}", lambda: s3.head_object(Bucket=B, Key=algorithm,
                                                     ChecksumMode="ENABLED").get(f"Checksum{algorithm}"))
    note(f"head {algorithm} without asking", lambda: s3.head_object(Bucket=B, Key=algorithm).get(f"Checksum{algorithm}"))
note("wrong crc32", lambda: s3.put_object(Bucket=B, Key="bad", Body=b"x", ChecksumCRC32=base64.b64encode(
    (zlib.crc32(b"y")).to_bytes(4, "big")).decode()))
s3.delete_object(Bucket=B, Key="bad")

note("copy", lambda: s3.copy_object(Bucket=B, Key="copied", CopySource={"Bucket": B, "Key": "plain"})["CopyObjectResult"]["ETag"])
note("copied", lambda: (lambda r: [body(r), pick(r, "Metadata", "ContentType")])(s3.get_object(Bucket=B, Key="copied")))
note("copy nothing", lambda: s3.copy_object(Bucket=B, Key="copied", CopySource={"Bucket": B, "Key": "absent"}))

parts = [b"a" * (5 << 20), b"b" * (5 << 20), b"c" * 10]


def multipart(key, parts, **options):
    upload = s3.create_multipart_upload(Bucket=B, Key=key, **options)["UploadId"]
    done = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(Bucket=B, Key=key, UploadId=upload, PartNumber=number, Body=part)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    return upload, done


def complete(key, upload, done):
    return s3.complete_multipart_upload(Bucket=B, Key=key, UploadId=upload, MultipartUpload={"Parts": done})["ETag"]


upload, done = multipart("multi", parts)
note("parts", lambda: [[part["PartNumber"], part["ETag"], part["Size"]]
                       for part in s3.list_parts(Bucket=B, Key="multi", UploadId=upload)["Parts"]])
note("complete", lambda: complete("multi", upload, done))
note("complete twice", lambda: complete("multi", "nonsense", done))
note("multi", lambda: hashlib.md5(body(s3.get_object(Bucket=B, Key="multi")).encode()).hexdigest())
for number in [1, 2, 3]:
    note(f"part {number}", lambda: pick(s3.head_object(Bucket=B, Key="multi", PartNumber=number), "ContentLength", "PartsCount"))
upload, done = multipart("small", [b"a", b"b"])
note("too small", lambda: complete("small", upload, done))
upload, done = multipart("order", [b"a" * (5 << 20), b"b"])
note("wrong order", lambda: complete("order", upload, done[::-1]))
note("wrong part", lambda: complete("order", upload, [{"PartNumber": 1, "ETag": '"00"'}]))
note("abort", lambda: s3.abort_multipart_upload(Bucket=B, Key="order", UploadId=upload)["ResponseMetadata"]["HTTPStatusCode"])
note("abort twice", lambda: s3.abort_multipart_upload(Bucket=B, Key="order", UploadId="nonsense"))

odd = ["a b", "a+b", "a%20b", "ä/ö", "a//b", "dir/", "x\u0001y", "q?x=1&y", "back\\slash", "quote'\"", "<tag>&amp;", "~tilde*()!",
       "e\u0301", "\u00e9", "\U0001f600", "tab\there", "#hash", "semi;colon", "at@", "dot/../x", "./y"]
for key in odd:
    note(f"put {key!r}", lambda: s3.put_object(Bucket=B, Key="odd/" + key, Body=key.encode())["ETag"])
    note(f"get {key!r}", lambda: body(s3.get_object(Bucket=B, Key="odd/" + key)))


def listing(**options):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=B, **options)
    keys, prefixes = [], []
    for page in pages:
        keys += [[item["Key"], item["Size"], item["ETag"], item["StorageClass"]] for item in page.get("Contents", [])]
        prefixes += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
    return [keys, prefixes]


note("line feed", lambda: s3.put_object(Bucket=B, Key="line\nfeed", Body=b"x")["ETag"])
note("line feed listed", lambda: listing(Prefix="line"))
note("line feed deleted", lambda: s3.delete_object(Bucket=B, Key="line\nfeed")["ResponseMetadata"]["HTTPStatusCode"])
note("odd keys", lambda: listing(Prefix="odd/"))
note("odd keys in threes", lambda: listing(Prefix="odd/", PaginationConfig={"PageSize": 3}))
note("folders", lambda: listing(Delimiter="/"))
note("odd folders", lambda: listing(Delimiter="/", Prefix="odd/"))
note("odd folders one by one", lambda: listing(Delimiter="/", Prefix="odd/", PaginationConfig={"PageSize": 1}))
note("start after", lambda: listing(Prefix="odd/", StartAfter="odd/a b"))
note("page", lambda: pick(s3.list_objects_v2(Bucket=B, MaxKeys=2, Prefix="odd/"), "KeyCount", "MaxKeys", "IsTruncated"))
note("v1", lambda: [item["Key"] for page in s3.get_paginator("list_objects").paginate(
    Bucket=B, Prefix="odd/", PaginationConfig={"PageSize": 4}) for item in page["Contents"]])
note("v1 folders", lambda: [item["Prefix"] for page in s3.get_paginator("list_objects").paginate(
    Bucket=B, Prefix="odd/", Delimiter="/", PaginationConfig={"PageSize": 1}) for item in page.get("CommonPrefixes", [])])
note("bad token", lambda: s3.list_objects_v2(Bucket=B, ContinuationToken="nonsense"))

note("delete", lambda: s3.delete_object(Bucket=B, Key="plain")["ResponseMetadata"]["HTTPStatusCode"])
note("delete again", lambda: s3.delete_object(Bucket=B, Key="plain")["ResponseMetadata"]["HTTPStatusCode"])
note("deleted", lambda: s3.get_object(Bucket=B, Key="plain"))
note("delete full bucket", lambda: s3.delete_bucket(Bucket=B))
rest = [item[0] for item in listing()[0]]
note("delete many", lambda: sorted(item["Key"] for item in s3.delete_objects(
    Bucket=B, Delete={"Objects": [{"Key": key} for key in rest if "\u0001" not in key]})["Deleted"]))
note("delete control character", lambda: s3.delete_object(Bucket=B, Key="odd/x\u0001y")["ResponseMetadata"]["HTTPStatusCode"])
note("nothing left", lambda: listing())
note("delete bucket", lambda: s3.delete_bucket(Bucket=B)["ResponseMetadata"]["HTTPStatusCode"])
print(json.dumps(answers))
