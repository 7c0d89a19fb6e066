{%- set kinds = dbt_fullstory_imports.job_kinds() -%}
{{ config(enabled=kinds | length > 0) }}

{% for kind, streams in kinds.items() %}
select
    '{{ kind }}' as kind,
    ids.job_id,
    jobs.status,
    coalesce(jobs.status in ('COMPLETED', 'FAILED'), false) as is_finished,
    jobs.created_at,
    jobs.finished_at,
    jobs.imported_{{ kind }} as reported,
    {{ dbt_fullstory_imports.or_zero(streams.imported, 'imported.loaded') }} as loaded,
    {{ dbt_fullstory_imports.shortfall('jobs.imported_' ~ kind, streams.imported, 'imported.loaded') }} as missing,
    jobs.failed_{{ kind }} as failed,
    {{ dbt_fullstory_imports.or_zero(streams.failed, 'failed.loaded') }} as failed_loaded,
    {{ dbt_fullstory_imports.shortfall('jobs.failed_' ~ kind, streams.failed, 'failed.loaded') }} as failed_missing
from (
    select job_id from {{ ref('stg_fullstory_imports__' ~ streams.jobs) }}
    {%- for stream in [streams.imported, streams.failed] if dbt_fullstory_imports.is_loaded(stream) %}
    union
    select job_id from {{ ref('stg_fullstory_imports__' ~ stream) }}
    {%- endfor %}
) as ids
left join {{ ref('stg_fullstory_imports__' ~ streams.jobs) }} as jobs on jobs.job_id = ids.job_id
left join {{ dbt_fullstory_imports.rows_by_job(streams.imported) }} as imported on imported.job_id = ids.job_id
left join {{ dbt_fullstory_imports.rows_by_job(streams.failed) }} as failed on failed.job_id = ids.job_id
{% if not loop.last %}
union all
{% endif %}
{%- endfor %}
